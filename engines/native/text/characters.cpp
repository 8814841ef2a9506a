// Sets of characters and their regular expressions; see characters.h.
#include "characters.h"

#include <charconv>
#include <string_view>

#include "base/text/utf8.h"

namespace sidecall::native {
namespace {

constexpr uint32_t kMaxRepeat = 1000;  // RE2 refuses more

// Reads the text of an expression from left to right.
class ExpressionReader {
 public:
  explicit ExpressionReader(std::string_view text) : rest_(text) {}

  bool take(std::string_view expected) {
    if (rest_.substr(0, expected.size()) != expected) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  // One character, or one end of a range.
  std::optional<uint32_t> take_character() {
    if (take("\\x{")) {
      const std::optional<uint32_t> code = take_number(16);
      if (!code || *code >= kNumCharacters || !take("}")) return std::nullopt;
      return code;
    }
    constexpr std::string_view kSpecial = "\\[]^-&~|";
    if (rest_.empty() || rest_[0] < '!' || rest_[0] > '~' ||
        kSpecial.find(rest_[0]) != std::string_view::npos)
      return std::nullopt;
    const auto character = static_cast<uint32_t>(rest_[0]);
    rest_.remove_prefix(1);
    return character;
  }

  std::optional<uint32_t> take_number(int base) {
    uint32_t number = 0;
    const char* const end = rest_.data() + rest_.size();
    const auto [stop, error] = std::from_chars(rest_.data(), end, number, base);
    if (error != std::errc()) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(stop - rest_.data()));
    return number;
  }

  bool is_at(std::string_view expected) const {
    return rest_.substr(0, expected.size()) == expected;
  }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

bool read_class(ExpressionReader* reader, CharacterSet* set) {
  if (!reader->take("[")) return false;
  const bool is_negated = reader->take("^");
  bool is_first = true;
  while (!reader->take("]")) {
    // A hyphen stands for itself at either end of a class.
    const bool is_hyphen = (is_first || reader->is_at("-]")) && reader->take("-");
    const std::optional<uint32_t> first = is_hyphen ? '-' : reader->take_character();
    if (!first) return false;
    std::optional<uint32_t> last = first;
    if (!reader->is_at("-]") && reader->take("-")) last = reader->take_character();
    if (!last || *last < *first) return false;
    set->add(*first, *last);
    is_first = false;
  }
  if (is_negated) set->invert();
  return !is_first;
}

}  // namespace

std::optional<uint32_t> single_character(std::string_view text) {
  const size_t length = character_length(text, 0);
  if (length == 0 || length != text.size()) return std::nullopt;
  return decode_character(text.data(), length);
}

void CharacterSet::add(uint32_t first, uint32_t last) {
  if (page_of_.size() <= last / kPageSize) page_of_.resize(last / kPageSize + 1, kEmpty);
  for (uint32_t at = first; at <= last;) {
    uint16_t& page = page_of_[at / kPageSize];
    if (at % kPageSize == 0 && last - at >= kPageSize - 1) {
      page = kFull;
      at += kPageSize;
      continue;
    }
    if (page == kEmpty) {
      page = static_cast<uint16_t>(pages_.size());
      pages_.emplace_back();
    }
    if (page != kFull) pages_[page][at % kPageSize / kBits] |= uint64_t{1} << (at % kBits);
    ++at;
  }
}

uint32_t CharacterSet::find_missing(uint32_t begin) const {
  for (uint32_t at = begin; at < kNumCharacters;) {
    const uint32_t page = at / kPageSize;
    const uint16_t found = page < page_of_.size() ? page_of_[page] : kEmpty;
    if (at % kPageSize == 0 && found == (is_inverted_ ? kEmpty : kFull)) {
      at += kPageSize;
      continue;
    }
    if (!contains(at)) return at;
    ++at;
  }
  return kNumCharacters;
}

std::optional<TokenExpression> parse_token_expression(std::string_view text, bool is_repeated) {
  TokenExpression expression;
  ExpressionReader reader(text);
  if (!read_class(&reader, &expression.characters)) return std::nullopt;
  if (is_repeated && !reader.take("+")) {
    // RE2 reads {02,} as text and not as a repetition.
    if (!reader.take("{") || reader.is_at("0")) return std::nullopt;
    const std::optional<uint32_t> least = reader.take_number(10);
    if (!least || *least > kMaxRepeat || !reader.take(",}")) return std::nullopt;
    expression.least = *least;
  }
  if (!reader.is_at_end()) return std::nullopt;
  return expression;
}

void CharacterMap::add(uint32_t character, std::string_view text) {
  if (page_of_.size() <= character / kPageSize) page_of_.resize(character / kPageSize + 1, 0);
  uint16_t& page = page_of_[character / kPageSize];
  if (page == 0) {
    page = static_cast<uint16_t>(pages_.size());
    pages_.emplace_back();
  }
  uint32_t& at = pages_[page][character % kPageSize];
  if (at != 0) return;
  texts_.push_back(text);
  at = static_cast<uint32_t>(texts_.size());
}

}  // namespace sidecall::native
