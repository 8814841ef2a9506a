// Finds the functions of texts by their hashes; see functions.h.
#include "functions.h"

#include <algorithm>
#include <iterator>

namespace sidecall::native {
namespace {

// Every body that sidecall.export writes. tests/native/test_text.py compares this list with them.
constexpr CountingFunction kCountingFunctions[] = {
    {TokenUnit::kWords, false, false,
     "bfa50cb5b0029b45eea7a7b0f591b7138be11998f23dbc23a20b1c3bd023c119"},
    {TokenUnit::kWords, true, false,
     "37661defe509602cc5bccbc188d2b039cf2f6f587c2b817bb24c891be3492a57"},
    {TokenUnit::kKeptWords, false, false,
     "9567d0705fde84050f90abd6363c2aaf520aa1ec34de26e990db10e527cda199"},
    {TokenUnit::kKeptWords, true, false,
     "aba2e5a3b1cbf98318cf45ab70d2cad93b1fcf7d599bca170520885075cda534"},
    {TokenUnit::kCharacters, false, false,
     "2f078b392babd5d90a37df6a2df9e56f8694fbb25885e3b09eb93ed8635d9936"},
    {TokenUnit::kCharacters, true, false,
     "0cdf837679362b384f0b107e9e1ed00dd805e152e627ed1417c403825fab03e0"},
    {TokenUnit::kWords, true, false,
     "aada146788284a00885fb78fb21a7a7402ed690e07e2d855d56076a76a7f5531"},
    {TokenUnit::kKeptWords, false, false,
     "8408619c61d959ecc34e8e04ab81b95aff9d8ddf6ca5260e63596167f392c717"},
    {TokenUnit::kKeptWords, true, false,
     "e53abc0b0d57cc8f67e3d0b82f4d6e23273530b7e7550cdd1ea67e56a22bfa56"},
    {TokenUnit::kCharacters, false, false,
     "e33c3c713fcae6609c293ebc06f0b9685303789919b42457711a71c74c89722a"},
    {TokenUnit::kCharacters, true, false,
     "cb493d41cdd16a826f02cda9c900cc778f38b5e27be7d503711e02837d4371ff"},
    {TokenUnit::kWords, false, true,
     "b13939b58c1b6a335f28f8b5270c6589926e9b43185e0795320099a0b60e22d4"},
    {TokenUnit::kWords, true, true,
     "888c734becc1068fb4a657ca6e572fccc01500dceb71c8a0ed42e314ea68c2f6"},
    {TokenUnit::kKeptWords, false, true,
     "a05f1b40cb7cd2ba99313cdf52f7b5320a2a5a316ee53f1cffb4a7d106e50211"},
    {TokenUnit::kKeptWords, true, true,
     "1e4a0534543a1171b2ce1ef68327b0fc1f07c5e37a4c0963504ffdd736198199"},
    {TokenUnit::kCharacters, false, true,
     "d0c53302792c92b9abbb7e18906dab6ef8779a29b6bb6c35b1a184c2da32439c"},
    {TokenUnit::kCharacters, true, true,
     "dc088db7dac38076674b5523afd8d1d055d0bffbfc394ded8f4b82ee592d397e"},
    {TokenUnit::kWords, false, true,
     "345eedeaa3efa6f7f99308d2621c02c6e794064c34205f8d7a27fd4d826454e1"},
    {TokenUnit::kWords, true, true,
     "48b25f4ab4f3ffa4c5e3c9a4c2a71cf391d1799d9d4d7882165dba702999c369"},
    {TokenUnit::kKeptWords, false, true,
     "5d00c93834d3f96f7905c177eb8ddfcb190facd0ab2cf6779da94d4495153fb6"},
    {TokenUnit::kKeptWords, true, true,
     "0f0b2b237b2c0761eae629b0fdc0ef12e8b1ad76f92f9c0daf35addb40fa9099"},
    {TokenUnit::kCharacters, false, true,
     "9c86711ac3f8e9a00cff58814542e3b599f50c07a491698c6a25aca1060fe1cd"},
    {TokenUnit::kCharacters, true, true,
     "3e31f66c1961685f3300566ff24ebe5fe1aa1324b75f4f542d1d9f334bec84d1"},
};

struct KnownTermsFunction {
  TermsFunction function;
  std::string_view sha256;
};

constexpr KnownTermsFunction kTermsFunctions[] = {
    {TermsFunction::kDamp, "5b7d47b2673f61d4091e986b3ee29ade763ee2d914b8c5ace9915f53680f7268"},
    {TermsFunction::kScale, "983a21cd0e13cd82f3b125dbb8e2b698e17c1df6d8bbe21323ed433adec8fe18"},
    {TermsFunction::kNormalize, "73611515f1a4142e35064d33d4f6acbd038c3bc965d02bf6ee47ad3995f56d42"},
    {TermsFunction::kMultiply, "c9294cfc537150e00c794759c4a2b5d1688a3162efcbb447dac1dcb212adb0e1"},
};

template <typename Known, size_t size>
const Known* find(const Known (&functions)[size], const Node& node) {
  if (node.function.empty()) return nullptr;
  const auto* const end = std::end(functions);
  const auto* const found = std::find_if(std::begin(functions), end, [&](const Known& known) {
    return known.sha256 == node.function;
  });
  return found == end ? nullptr : found;
}

}  // namespace

const CountingFunction* find_counting_function(const Node& node) {
  return find(kCountingFunctions, node);
}

std::optional<TermsFunction> find_terms_function(const Node& node) {
  const KnownTermsFunction* const known = find(kTermsFunctions, node);
  return known == nullptr ? std::nullopt : std::optional(known->function);
}

}  // namespace sidecall::native
