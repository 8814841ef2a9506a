// Says why a text is not JSON; see json_problem.h.
#include "json_problem.h"

#include <rapidjson/error/en.h>

#include <algorithm>

namespace sidecall {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The word around an offset, in lower case: the parser stops after its first wrong letter.
std::string word_at(std::string_view text, size_t offset) {
  constexpr size_t kLongest = 16;
  size_t begin = std::min(offset, text.size());
  while (begin > 0 && offset - begin < kLongest && is_letter(text[begin - 1])) --begin;
  std::string word;
  for (size_t i = begin; i < text.size() && is_letter(text[i]) && word.size() < kLongest; ++i)
    word.push_back(static_cast<char>(text[i] | 0x20));
  return word;
}

// Says where an incomplete text ends.
const char* end_of(rapidjson::ParseErrorCode code) {
  switch (code) {
    case rapidjson::kParseErrorObjectMissName:
    case rapidjson::kParseErrorObjectMissColon:
    case rapidjson::kParseErrorObjectMissCommaOrCurlyBracket:
      return "text that ends within an object";
    case rapidjson::kParseErrorArrayMissCommaOrSquareBracket:
      return "text that ends within a list";
    case rapidjson::kParseErrorNumberMissFraction:
    case rapidjson::kParseErrorNumberMissExponent:
      return "text that ends within a number";
    case rapidjson::kParseErrorValueInvalid:
      return "text that ends within a value or before it";
    default:
      return "text that ends within a string";
  }
}

}  // namespace

std::string found_instead_of_json(std::string_view text, rapidjson::ParseErrorCode code,
                                  size_t offset) {
  if (is_gzip(text)) return kGzipInsteadOfJson;
  if (code == rapidjson::kParseErrorDocumentEmpty) return "no text";
  if (offset >= text.size()) return end_of(code);
  if (code == rapidjson::kParseErrorTermination || code == rapidjson::kParseErrorNumberTooBig)
    return "a number that float64 cannot hold";
  if (code == rapidjson::kParseErrorValueInvalid) {
    const std::string word = word_at(text, offset);
    if (word == "nan") return "NaN: write a missing number as null";
    if (word == "infinity" || word == "inf") return "Infinity, which JSON does not have";
    if (word == "none" || word == "undefined") return "a word for a missing value: write null";
  }
  return "other text: " + parser_words(rapidjson::GetParseError_En(code));
}

std::string parser_words(std::string words) {
  if (!words.empty() && words.back() == '.') words.pop_back();
  if (!words.empty() && words.front() >= 'A' && words.front() <= 'Z')
    words.front() = static_cast<char>(words.front() - 'A' + 'a');
  return words;
}

}  // namespace sidecall
