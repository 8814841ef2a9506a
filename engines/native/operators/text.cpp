// The functions of a model that count the terms of texts. In the file, such a function has a body
// for ONNX Runtime (python/sidecall/convert/graph/text_functions.py). This engine recognises the
// function by the SHA-256 of its body, and computes it in one pass over the text.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "base/utf8.h"
#include "engines/native/text/characters.h"
#include "engines/native/text/fused_steps.h"
#include "engines/native/text/terms.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// What a token is. kKeptWords: a word that is not a stop word.
enum class Unit : uint8_t { kWords, kKeptWords, kCharacters };

// Every body that exported files have or have had. A body stays here when a newer one replaces it.
struct KnownFunction {
  Unit unit;
  bool replaces;  // whether characters are replaced before tokens are formed
  std::string_view sha256;
};

constexpr KnownFunction kKnownFunctions[] = {
    {Unit::kWords, false, "bfa50cb5b0029b45eea7a7b0f591b7138be11998f23dbc23a20b1c3bd023c119"},
    {Unit::kWords, true, "37661defe509602cc5bccbc188d2b039cf2f6f587c2b817bb24c891be3492a57"},
    {Unit::kKeptWords, false, "9567d0705fde84050f90abd6363c2aaf520aa1ec34de26e990db10e527cda199"},
    {Unit::kKeptWords, true, "aba2e5a3b1cbf98318cf45ab70d2cad93b1fcf7d599bca170520885075cda534"},
    {Unit::kCharacters, false, "2f078b392babd5d90a37df6a2df9e56f8694fbb25885e3b09eb93ed8635d9936"},
    {Unit::kCharacters, true, "0cdf837679362b384f0b107e9e1ed00dd805e152e627ed1417c403825fab03e0"},
    {Unit::kWords, true, "aada146788284a00885fb78fb21a7a7402ed690e07e2d855d56076a76a7f5531"},
    {Unit::kKeptWords, false, "8408619c61d959ecc34e8e04ab81b95aff9d8ddf6ca5260e63596167f392c717"},
    {Unit::kKeptWords, true, "e53abc0b0d57cc8f67e3d0b82f4d6e23273530b7e7550cdd1ea67e56a22bfa56"},
    {Unit::kCharacters, false, "e33c3c713fcae6609c293ebc06f0b9685303789919b42457711a71c74c89722a"},
    {Unit::kCharacters, true, "cb493d41cdd16a826f02cda9c900cc778f38b5e27be7d503711e02837d4371ff"},
};

// Stands for "not in the table" in the function's body.
constexpr std::string_view kAbsent = "\xef\xb7\x92";  // U+FDD2
// Within a text, a run polls the interrupt once in this many bytes.
constexpr size_t kPollBytes = 1 << 16;

[[noreturn]] void refuse(const Node& node, const std::string& problem) {
  refuse_node(node, SIDECALL_UNSUPPORTED, problem);
}

void require(const Node& node, std::string_view attribute) {
  if (!node.has(attribute))
    refuse_node(node, SIDECALL_FILE_INVALID,
                "expected attribute '" + std::string(attribute) + "', got none");
}

const std::vector<std::string_view>& texts_of(const Node& node, std::string_view attribute) {
  require(node, attribute);
  const auto& texts = node.texts(attribute);
  for (const std::string_view text : texts) {
    if (!is_utf8(text))
      refuse_node(node, SIDECALL_FILE_INVALID,
                  "attribute '" + std::string(attribute) + "': expected UTF-8, got other bytes");
  }
  return texts;
}

const std::vector<int64_t>& integers_of(const Node& node, std::string_view attribute) {
  require(node, attribute);
  return node.integers(attribute);
}

CharacterSet set_of(const Node& node, std::string_view attribute) {
  CharacterSet set;
  for (const std::string_view text : texts_of(node, attribute)) {
    const std::optional<uint32_t> character = single_character(text);
    if (!character)
      refuse(node, "attribute '" + std::string(attribute) + "': expected single characters");
    set.add(*character, *character);
  }
  return set;
}

TokenExpression expression_of(const Node& node, std::string_view attribute, bool is_repeated) {
  require(node, attribute);
  std::optional<TokenExpression> expression =
      parse_token_expression(node.text(attribute, ""), is_repeated);
  if (!expression)
    refuse(node, "attribute '" + std::string(attribute) +
                     "': expected a character class that this engine can read, got another "
                     "regular expression");
  return *std::move(expression);
}

constexpr uint32_t kNumAscii = 128;

// ---- Replaced characters ----

// The table of replacements. The function takes a faster path for texts without any character of
// `special`, and for these only changes the case of ASCII letters. Tables for which that makes a
// difference are refused, because the answer would depend on the other texts of the batch.
class Replacements {
 public:
  explicit Replacements(const Node& node) {
    const auto& characters = texts_of(node, "characters");
    const auto& replacements = texts_of(node, "replacements");
    if (characters.empty() || characters.size() != replacements.size())
      refuse_node(node, SIDECALL_FILE_INVALID,
                  "expected as many replacements as characters, and at least 1, got " +
                      std::to_string(replacements.size()) + " and " +
                      std::to_string(characters.size()));
    for (size_t i = 0; i < characters.size(); ++i) {
      const std::optional<uint32_t> character = single_character(characters[i]);
      if (!character) refuse(node, "attribute 'characters': expected single characters");
      map_.add(*character, replacements[i] == kAbsent ? characters[i] : replacements[i]);
    }
    require(node, "otherwise");
    const std::string_view otherwise = node.text("otherwise", "");
    removes_others_ = otherwise.empty();
    if (!removes_others_ && otherwise != kAbsent)
      refuse(node, "attribute 'otherwise': expected no text or U+FDD2");
    read_ascii(node);
    check_special(node, characters);
  }

  uint8_t ascii(uint32_t character) const { return ascii_[character]; }

  // The text that replaces a character that is not ASCII; nullopt if it stays.
  std::optional<std::string_view> find(uint32_t character) const {
    const std::string_view* text = map_.find(character);
    if (text != nullptr) return *text;
    if (removes_others_) return std::string_view();
    return std::nullopt;
  }

 private:
  void read_ascii(const Node& node) {
    require(node, "ascii_case");
    const std::string_view ascii_case = node.text("ascii_case", "");
    if (ascii_case != "LOWER" && ascii_case != "NONE")
      refuse(node, "attribute 'ascii_case': expected LOWER or NONE");
    for (uint32_t c = 0; c < kNumAscii; ++c) {
      const bool is_capital = ascii_case == "LOWER" && c >= 'A' && c <= 'Z';
      ascii_[c] = static_cast<uint8_t>(is_capital ? c - 'A' + 'a' : c);
      const auto itself = static_cast<char>(c);
      const auto expected = static_cast<char>(ascii_[c]);
      if (find(c).value_or(std::string_view(&itself, 1)) != std::string_view(&expected, 1))
        refuse(node, "expected ASCII characters to be replaced as 'ascii_case' says");
    }
  }

  void check_special(const Node& node, const std::vector<std::string_view>& characters) const {
    const CharacterSet special = expression_of(node, "special", false).characters;
    for (const std::string_view itself : characters) {
      const uint32_t c = *single_character(itself);
      if (c >= kNumAscii && *map_.find(c) != itself && !special.contains(c)) refuse_special(node);
    }
    if (!removes_others_) return;
    constexpr uint32_t kFirstSurrogate = 0xd800, kAfterSurrogates = 0xe000;
    for (uint32_t c = special.find_missing(kNumAscii); c < kNumCharacters;
         c = special.find_missing(c + 1)) {
      const bool is_surrogate = c >= kFirstSurrogate && c < kAfterSurrogates;
      if (!is_surrogate && map_.find(c) == nullptr) refuse_special(node);
    }
  }

  [[noreturn]] static void refuse_special(const Node& node) {
    refuse(node, "attribute 'special': expected all characters that change");
  }

  CharacterMap map_;
  bool removes_others_ = false;  // all characters that are not in the map
  std::array<uint8_t, kNumAscii> ascii_{};
};

// ---- Terms ----

// The tokens and their sequences, from the attributes that TfIdfVectorizer has under other names.
class Terms {
 public:
  Terms(const Node& node, size_t num_others)
      : tokens_(node.texts("gram_tokens").size() + num_others),
        grams_(node.texts("gram_tokens").size(), node.texts("gram_tokens").size()) {
    const auto& tokens = texts_of(node, "gram_tokens");
    const auto& starts = integers_of(node, "gram_starts");
    const auto& columns = integers_of(node, "gram_columns");
    require(node, "shortest_gram");
    require(node, "longest_gram");
    const int64_t shortest = node.integer("shortest_gram", 0);
    const int64_t longest = node.integer("longest_gram", 0);
    const auto invalid = [&](const std::string& problem) {
      refuse_node(node, SIDECALL_FILE_INVALID, problem);
    };
    if (tokens.empty() || columns.empty() ||
        tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) / 2)
      invalid("expected sequences of tokens, got none or too many");
    if (shortest < 1 || longest < shortest || static_cast<size_t>(longest) > starts.size())
      invalid("expected 1 <= shortest_gram <= longest_gram <= the number of gram_starts");
    const size_t num_columns = columns.size();
    for (const int64_t column : columns) {
      if (column < 0 || static_cast<size_t>(column) >= num_columns)
        invalid("expected columns below the number of sequences, " + std::to_string(num_columns));
      width_ = std::max(width_, column + 1);
    }
    std::vector<int32_t> ids;
    ids.reserve(tokens.size());
    for (const std::string_view token : tokens) {
      // The function fills rows of fewer tokens with empty ones.
      if (token.empty()) refuse(node, "attribute 'gram_tokens': expected no empty tokens");
      ids.push_back(tokens_.add(token));
    }
    const auto num_tokens = static_cast<int64_t>(tokens.size());
    size_t next_column = 0;
    std::vector<int32_t> gram;
    for (size_t i = 0; i < starts.size(); ++i) {
      const int64_t begin = starts[i];
      const int64_t end = i + 1 < starts.size() ? starts[i + 1] : num_tokens;
      const auto length = static_cast<int64_t>(i) + 1;
      if (begin < 0 || end < begin || end > num_tokens || (end - begin) % length != 0 ||
          (i == 0 && begin != 0))
        invalid("attribute 'gram_starts': expected positions in 'gram_tokens' that ascend, each " +
                std::string("a whole number of sequences after the one before"));
      for (int64_t at = begin; at < end; at += length, ++next_column) {
        if (next_column >= num_columns) invalid("expected one column for each sequence, got fewer");
        if (length < shortest || length > longest) continue;
        gram.assign(ids.begin() + at, ids.begin() + at + length);
        if (!grams_.add(gram, static_cast<int32_t>(columns[next_column])))
          invalid("expected each sequence of tokens once, got one twice");
      }
    }
    if (next_column != num_columns) invalid("expected one column for each sequence, got more");
  }

  const TokenTable& tokens() const { return tokens_; }
  TokenTable& tokens() { return tokens_; }
  const GramTable& grams() const { return grams_; }
  int64_t width() const { return width_; }

 private:
  TokenTable tokens_;
  GramTable grams_;
  int64_t width_ = 0;
};

// ---- The operator ----

class TermCounter final : public Operator {
 public:
  TermCounter(const Compile& compile, const KnownFunction& function)
      : node_(compile.node),
        unit_(function.unit),
        terms_(node_, unit_ == Unit::kKeptWords ? node_.texts("stop_words").size() : 0),
        first_stop_word_(static_cast<int32_t>(terms_.tokens().size())),
        fused_(compile, terms_.width()) {
    if (function.replaces) replacements_.emplace(node_);
    if (unit_ == Unit::kCharacters) {
      characters_ = set_of(node_, "spaces");
      for (uint32_t c = 0; c < kNumAscii; ++c) {
        const auto character = static_cast<char>(c);
        ascii_ids_[c] = terms_.tokens().find({&character, 1});
      }
    } else {
      TokenExpression expression = expression_of(node_, "token", true);
      characters_ = std::move(expression.characters);
      least_ = expression.least;
    }
    if (unit_ == Unit::kKeptWords) add_stop_words();
    for (uint32_t c = 0; c < kNumAscii; ++c) {
      ascii_[c] = replacements_ ? replacements_->ascii(c) : static_cast<uint8_t>(c);
      if (unit_ != Unit::kCharacters && !characters_.contains(ascii_[c])) ascii_[c] = kSeparator;
    }
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    if (x.dtype != SIDECALL_DTYPE_STRING) refuse_type(node_, x);
    if (x.rank() != 1)
      refuse_node(node_, SIDECALL_ENGINE,
                  "expected texts of rank 1, got rank " + std::to_string(x.rank()));
    out[0]->shape(fused_.dtype(), {x.count, fused_.num_results()});
    return with_type<float, double>(
        fused_.dtype(), [&](auto zero) { return count_step<decltype(zero)>(x, out[0]); });
  }

 private:
  static constexpr uint8_t kSeparator = 0xff;

  // The memory of a step for the row that it reads.
  struct Row {
    explicit Row(const TermCounter& counter)
        : token(counter.terms_.tokens().longest()), active(counter.terms_.grams().make_active()) {}
    std::vector<char> token;
    GramTable::Active active;
  };

  template <typename T>
  std::unique_ptr<Step> count_step(const Tensor& x, const Tensor* out) const {
    return make_step([this, &x, out, row = Row(*this),
                      counted = fused_.make_row()](const Interrupt& interrupt) mutable {
      // A run that was interrupted has left counts behind.
      for (const int32_t column : counted.columns) counted.counts[static_cast<size_t>(column)] = 0;
      counted.columns.clear();
      const int64_t num_results = fused_.num_results();
      T* results = out->as<T>();
      for (int64_t i = 0; i < x.count; ++i, results += num_results) {
        interrupt.poll();
        count_terms(x.as<Text>()[i].view(), &row, interrupt, [&counted](int32_t column) {
          if (counted.counts[static_cast<size_t>(column)]++ == 0) counted.columns.push_back(column);
        });
        fused_.run(&counted, results);
      }
    });
  }

  template <typename Count>
  void count_terms(std::string_view text, Row* row, const Interrupt& interrupt,
                   Count&& count) const {
    if (unit_ == Unit::kCharacters) count_characters(text, row, interrupt, count);
    else count_words(text, row, interrupt, count);
  }

  void add_stop_words() {
    for (const std::string_view word : texts_of(node_, "stop_words")) {
      // Every token has at least one character, so an empty stop word removes nothing.
      if (word.empty()) continue;
      if (terms_.tokens().add(word) < first_stop_word_)
        refuse(node_, "expected stop words that no sequence of tokens has");
    }
  }

  [[noreturn]] void refuse_text() const {
    refuse_node(node_, SIDECALL_ENGINE, "expected texts in UTF-8, got other bytes");
  }

  size_t length_at(const char* at, const char* end) const {
    const size_t length = character_length({at, static_cast<size_t>(end - at)}, 0);
    if (length == 0) refuse_text();
    return length;
  }

  // Calls put(character, bytes, length) for a character that is not ASCII, or for each character
  // that replaces it. Returns the length of the character in the text.
  template <typename Put>
  size_t put_replaced(const char* at, const char* end, Put&& put) const {
    const size_t length = length_at(at, end);
    const uint32_t character = decode_character(at, length);
    const auto replacement =
        replacements_ ? replacements_->find(character) : std::optional<std::string_view>();
    if (!replacement) {
      put(character, at, length);
      return length;
    }
    for (size_t i = 0; i < replacement->size();) {
      const char* const bytes = replacement->data() + i;
      const size_t size = character_length(*replacement, i);
      put(decode_character(bytes, size), bytes, size);
      i += size;
    }
    return length;
  }

  // Calls put_ascii(entry of ascii_) for each ASCII character of the text. For every other one,
  // calls put() as put_replaced() does.
  template <typename PutAscii, typename Put>
  void read_text(std::string_view text, const Interrupt& interrupt, PutAscii&& put_ascii,
                 Put&& put) const {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
      const char* const stop = at + std::min(kPollBytes, static_cast<size_t>(end - at));
      while (at < stop) {
        const auto byte = static_cast<unsigned char>(*at);
        if (byte < kNumAscii) {
          put_ascii(ascii_[byte]);
          ++at;
        } else {
          at += put_replaced(at, end, put);
        }
      }
      interrupt.poll();
    }
  }

  template <typename Count>
  void count_words(std::string_view text, Row* row, const Interrupt& interrupt,
                   Count&& count) const {
    // Only the first bytes of a token longer than all known ones are kept.
    char* const token = row->token.data();
    const size_t capacity = row->token.size();
    size_t bytes = 0, characters = 0;
    row->active.clear();
    const auto end_token = [&] {
      if (characters >= least_) {
        const int32_t id =
            bytes <= capacity ? terms_.tokens().find({token, bytes}) : TokenTable::kUnknown;
        if (id < first_stop_word_) terms_.grams().push(id, &row->active, count);
      }
      bytes = characters = 0;
    };
    const auto put = [&](uint32_t character, const char* from, size_t length) {
      if (!characters_.contains(character)) {
        end_token();
        return;
      }
      if (bytes + length <= capacity) std::memcpy(token + bytes, from, length);
      bytes += length;
      ++characters;
    };
    const auto put_ascii = [&](uint8_t c) {
      if (c == kSeparator) {
        end_token();
        return;
      }
      if (bytes < capacity) token[bytes] = static_cast<char>(c);
      ++bytes;
      ++characters;
    };
    read_text(text, interrupt, put_ascii, put);
    end_token();
  }

  template <typename Count>
  void count_characters(std::string_view text, Row* row, const Interrupt& interrupt,
                        Count&& count) const {
    row->active.clear();
    // A whitespace character waits until it is known whether another one follows. All of them
    // together count as one space.
    enum { kNone, kOne, kMany } spaces = kNone;
    int32_t space = 0;
    const auto end_spaces = [&] {
      if (spaces == kNone) return;
      terms_.grams().push(spaces == kOne ? space : ascii_ids_[' '], &row->active, count);
      spaces = kNone;
    };
    const auto put = [&](uint32_t character, const char* from, size_t length) {
      const bool is_space = characters_.contains(character);
      if (is_space && spaces != kNone) {
        spaces = kMany;
        return;
      }
      const int32_t id =
          character < kNumAscii ? ascii_ids_[character] : terms_.tokens().find({from, length});
      if (is_space) {
        spaces = kOne;
        space = id;
        return;
      }
      end_spaces();
      terms_.grams().push(id, &row->active, count);
    };
    const auto put_ascii = [&](uint8_t c) { put(c, nullptr, 1); };
    read_text(text, interrupt, put_ascii, put);
    end_spaces();
  }

  const Node& node_;
  const Unit unit_;
  Terms terms_;
  const int32_t first_stop_word_;  // the tokens from this number on are stop words
  const FusedSteps fused_;
  std::optional<Replacements> replacements_;
  CharacterSet characters_;  // those of words; if the tokens are characters: whitespace
  size_t least_ = 1;         // the number of characters that a word has at least
  // By character: what replaces it, or kSeparator if that belongs to no word.
  std::array<uint8_t, kNumAscii> ascii_{};
  std::array<int32_t, kNumAscii> ascii_ids_{};  // tokens of one ASCII character
};

const KnownFunction* find_known(const Node& node) {
  const auto* const end = std::end(kKnownFunctions);
  const auto* const found =
      std::find_if(std::begin(kKnownFunctions), end,
                   [&](const KnownFunction& known) { return known.sha256 == node.function; });
  return found == end ? nullptr : found;
}

std::unique_ptr<Operator> make_counter(const Compile& compile) {
  return std::make_unique<TermCounter>(compile, *find_known(compile.node));
}

}  // namespace

const OperatorEntry* find_text_function(const Node& node) {
  static constexpr OperatorEntry kEntry = {"", "", 0, kAnyVersion, make_counter, rows::by_item};
  return find_known(node) == nullptr ? nullptr : &kEntry;
}

}  // namespace sidecall::native
