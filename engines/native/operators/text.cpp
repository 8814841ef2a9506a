// The functions of a model that count the terms of texts. In the file, such a function has a body
// for ONNX Runtime (python/sidecall/convert/graph/text_functions.py). This engine recognises the
// function by the SHA-256 of its body, and computes it in one pass over the text.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "base/text/utf8.h"
#include "broadcast.h"
#include "engines/native/text/characters.h"
#include "engines/native/text/functions.h"
#include "engines/native/text/fused_steps.h"
#include "engines/native/text/terms.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

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
                  "attribute '" + std::string(attribute) + "': the text is not UTF-8");
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
                     "': this engine reads only character classes, not other regular "
                     "expressions");
  return *std::move(expression);
}

constexpr uint32_t kNumAscii = 128;

// ---- Replaced characters ----

// The table of replacements. In the function's body, a batch without any character of `special`
// takes a faster path, which only changes the case of ASCII letters. A table is refused if the two
// paths could give different results, because then the answer for one text would depend on the
// other texts of the batch.
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

// The sequences of tokens that are counted, and the column of each.
struct Sequences {
  std::vector<std::string_view> tokens;  // of all sequences, one after the other
  std::vector<size_t> lengths;           // the number of tokens of each sequence
  std::vector<int64_t> columns;
  int64_t width = 0;  // the number of columns
};

[[noreturn]] void refuse_invalid(const Node& node, const std::string& problem) {
  refuse_node(node, SIDECALL_FILE_INVALID, problem);
}

void read_columns(const Node& node, std::string_view attribute, Sequences* sequences) {
  sequences->columns = integers_of(node, attribute);
  const size_t num_columns = sequences->columns.size();
  for (const int64_t column : sequences->columns) {
    if (column < 0 || static_cast<size_t>(column) >= num_columns)
      refuse_invalid(
          node, "expected columns below the number of sequences, " + std::to_string(num_columns));
    sequences->width = std::max(sequences->width, column + 1);
  }
}

// Reads the sequences from numeric attributes, which TfIdfVectorizer has under other names.
Sequences read_sequences(const Node& node) {
  Sequences sequences;
  sequences.tokens = texts_of(node, "gram_tokens");
  const auto& starts = integers_of(node, "gram_starts");
  read_columns(node, "gram_columns", &sequences);
  require(node, "shortest_gram");
  require(node, "longest_gram");
  const int64_t shortest = node.integer("shortest_gram", 0);
  const int64_t longest = node.integer("longest_gram", 0);
  if (sequences.tokens.empty() || sequences.columns.empty())
    refuse_invalid(node, "expected sequences of tokens, got none");
  if (shortest < 1 || longest < shortest || static_cast<size_t>(longest) > starts.size())
    refuse_invalid(node,
                   "expected 1 <= shortest_gram <= longest_gram <= the number of gram_starts");
  const auto num_tokens = static_cast<int64_t>(sequences.tokens.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t begin = starts[i];
    const int64_t end = i + 1 < starts.size() ? starts[i + 1] : num_tokens;
    const auto length = static_cast<int64_t>(i) + 1;
    if (begin < 0 || end < begin || end > num_tokens || (end - begin) % length != 0 ||
        (i == 0 && begin != 0))
      refuse_invalid(node,
                     "attribute 'gram_starts': expected positions in 'gram_tokens' that ascend, "
                     "each a whole number of sequences after the one before");
    const auto count = static_cast<size_t>((end - begin) / length);
    sequences.lengths.insert(sequences.lengths.end(), count, i + 1);
  }
  return sequences;
}

// Reads the sequences from texts in which a separator stands between the tokens.
Sequences read_terms(const Node& node, std::string_view separator) {
  Sequences sequences;
  const auto& terms = texts_of(node, "terms");
  read_columns(node, "term_columns", &sequences);
  require(node, "longest_gram");
  require(node, "width");
  if (terms.empty()) refuse_invalid(node, "expected terms, got none");
  if (node.integer("width", 0) != static_cast<int64_t>(terms.size()))
    refuse(node, "attribute 'width': expected the number of terms");
  sequences.width = node.integer("width", 0);
  for (const std::string_view term : terms) {
    size_t length = 1;
    for (size_t begin = 0;; ++length) {
      const size_t end = term.find(separator, begin);
      sequences.tokens.push_back(term.substr(begin, end - begin));
      if (end == std::string_view::npos) break;
      begin = end + separator.size();
    }
    sequences.lengths.push_back(length);
  }
  return sequences;
}

// Whether sequences of this length are counted.
bool is_counted(const Node& node, size_t length) {
  return static_cast<int64_t>(length) >= node.integer("shortest_gram", 1) &&
         static_cast<int64_t>(length) <= node.integer("longest_gram", 0);
}

// Stands between the tokens of a term.
std::string_view separator_of(TokenUnit unit) {
  return unit == TokenUnit::kCharacters ? kAbsent : std::string_view(" ");
}

// The tokens and their sequences, as tables.
class Terms {
 public:
  Terms(const Node& node, const Sequences& sequences, size_t num_others)
      : tokens_(sequences.tokens.size() + num_others),
        grams_(sequences.tokens.size(), sequences.tokens.size()),
        width_(sequences.width) {
    const size_t num_columns = sequences.columns.size();
    if (sequences.tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) / 2)
      refuse_invalid(node, "expected fewer sequences of tokens");
    if (sequences.lengths.size() != num_columns)
      refuse_invalid(node, std::string("expected one column for each sequence, got ") +
                               (sequences.lengths.size() > num_columns ? "fewer" : "more"));
    std::vector<int32_t> gram;
    auto token = sequences.tokens.begin();
    for (size_t i = 0; i < num_columns; ++i) {
      gram.clear();
      for (size_t k = 0; k < sequences.lengths[i]; ++k, ++token) {
        // The function's body pads rows with empty tokens, which must not be counted.
        if (token->empty()) refuse(node, "expected no empty tokens");
        gram.push_back(tokens_.add(*token));
      }
      if (is_counted(node, gram.size()) &&
          !grams_.add(gram, static_cast<int32_t>(sequences.columns[i])))
        refuse_invalid(node, "expected each sequence of tokens once, got one twice");
    }
  }

  const TokenTable& tokens() const { return tokens_; }
  TokenTable& tokens() { return tokens_; }
  const GramTable& grams() const { return grams_; }
  int64_t width() const { return width_; }

 private:
  TokenTable tokens_;
  GramTable grams_;
  const int64_t width_;
};

// ---- The operator ----

class TermCounter final : public Operator {
 public:
  TermCounter(const Compile& compile, const CountingFunction& function)
      : node_(compile.node),
        unit_(function.unit),
        terms_(node_,
               function.lists ? read_terms(node_, separator_of(unit_)) : read_sequences(node_),
               unit_ == TokenUnit::kKeptWords ? node_.texts("stop_words").size() : 0),
        first_stop_word_(static_cast<int32_t>(terms_.tokens().size())),
        fused_(compile, terms_.width()) {
    if (function.replaces) replacements_.emplace(node_);
    if (unit_ == TokenUnit::kCharacters) {
      characters_ = set_of(node_, "spaces");
      for (uint32_t c = 0; c < kNumAscii; ++c) {
        const auto character = static_cast<char>(c);
        ascii_ids_[c] = terms_.tokens().find({&character, 1});
      }
    } else {
      TokenExpression expression = expression_of(node_, "token", true);
      characters_ = std::move(expression.characters);
      if (function.lists && characters_.contains(' '))
        refuse(node_, "attribute 'token': expected words without spaces");
      least_ = expression.least;
    }
    if (unit_ == TokenUnit::kKeptWords) add_stop_words();
    for (uint32_t c = 0; c < kNumAscii; ++c) {
      ascii_[c] = replacements_ ? replacements_->ascii(c) : static_cast<uint8_t>(c);
      if (unit_ != TokenUnit::kCharacters && !characters_.contains(ascii_[c]))
        ascii_[c] = kSeparator;
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
    if (unit_ == TokenUnit::kCharacters) count_characters(text, row, interrupt, count);
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
    refuse_node(node_, SIDECALL_ENGINE, "the text is not UTF-8");
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
  const TokenUnit unit_;
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

std::unique_ptr<Operator> make_counter(const Compile& compile) {
  return std::make_unique<TermCounter>(compile, *find_counting_function(compile.node));
}

// 1 + log(count), and 0 for 0.
std::unique_ptr<Step> prepare_damping(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  out[0]->shape(x.dtype, x.dims);
  auto step = with_type<float, double>(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    return make_step([&x, to = out[0]](const Interrupt& interrupt) {
      for_each_part(x.count, interrupt, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) to->as<T>()[i] = damped(x.as<T>()[i]);
      });
    });
  });
  return or_refuse(std::move(step), node, x);
}

}  // namespace

const OperatorEntry* find_text_function(const Node& node) {
  static constexpr OperatorEntry kCounter = {"", "", 0, kAnyVersion, make_counter, rows::by_item};
  static constexpr OperatorEntry kDamping = {
      "", "", 0, kAnyVersion, make_plain<prepare_damping>, rows::by_element, 1};
  if (find_counting_function(node) != nullptr) return &kCounter;
  return find_terms_function(node) == TermsFunction::kDamp ? &kDamping : nullptr;
}

}  // namespace sidecall::native
