// Says why a text is not JSON, for the messages of all readers.
#pragma once

#include <rapidjson/error/error.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace sidecall {

// Whether a text is compressed with gzip: JSON never begins with these bytes.
inline bool is_gzip(std::string_view text) noexcept { return text.substr(0, 2) == "\x1f\x8b"; }
inline constexpr const char* kGzipInsteadOfJson =
    "text that is compressed with gzip: send it uncompressed";

// What RapidJSON found at `offset` of the text instead of JSON, as the text after "got" in a
// message: "text that ends within a list", "NaN: write a missing number as null".
std::string found_instead_of_json(std::string_view text, rapidjson::ParseErrorCode code,
                                  size_t offset);

// A parser's message in our style: "Invalid value." becomes "invalid value".
std::string parser_words(std::string words);

}  // namespace sidecall
