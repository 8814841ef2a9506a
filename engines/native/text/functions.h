// The functions of a model that this engine knows by the SHA-256 of their bodies, because
// sidecall.export writes them for text vectorizers. Their meaning stands where the bodies are
// written: python/sidecall/convert/graph/text_functions.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engines/native/graph.h"

namespace sidecall::native {

// What a token is. kKeptWords: a word that is not a stop word.
enum class TokenUnit : uint8_t { kWords, kKeptWords, kCharacters };

// A function that counts the terms of texts.
struct CountingFunction {
  TokenUnit unit;
  bool replaces;  // whether characters are replaced before tokens are formed
  bool lists;     // whether the outputs list the nonzero counts: rows, columns and numbers
  std::string_view sha256;
};
// nullptr if the node calls no such function.
const CountingFunction* find_counting_function(const Node& node);

// Functions that compute with a list of nonzero numbers.
enum class TermsFunction : uint8_t { kDamp, kScale, kNormalize, kMultiply };
std::optional<TermsFunction> find_terms_function(const Node& node);

}  // namespace sidecall::native
