// Operators of ai.onnx.ml that look up keys in tables or elements by index: LabelEncoder,
// CategoryMapper, OneHotEncoder and ArrayFeatureExtractor.
#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <variant>

#include "core/hash.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

constexpr const char* kDomain = "ai.onnx.ml";

// Calls work(begin, end) for each block of [0, count), and polls the interrupt before each.
template <typename Work>
void in_blocks(const Interrupt& interrupt, int64_t count, int64_t block, Work&& work) {
  for (int64_t begin = 0; begin < count; begin += block) {
    interrupt.poll();
    work(begin, std::min(count, begin + block));
  }
}
constexpr int64_t kBlock = 4096;  // the number of elements of a block

// ---- Keys ----

// Keys are converted to numbers, key_of(), which are equal if and only if the keys are. 0 and -0
// are the same key, and so are all NaN. Real numbers are compared by their bits, not as numbers, so
// that the result does not depend on the processor's treatment of denormal numbers.
constexpr uint64_t kNanKey = UINT64_MAX;

// All strings outside of the vocabulary get the same number. No table has it, because all keys of
// tables are in the vocabulary.
uint64_t key_of(const Text& key) { return static_cast<uint64_t>(int64_t{key.id}); }
uint64_t key_of(int64_t key) { return static_cast<uint64_t>(key); }

template <typename Bits, typename Real>
uint64_t key_of_real(Real key) {
  Bits bits{};
  std::memcpy(&bits, &key, sizeof bits);
  const Bits magnitude = static_cast<Bits>(bits << 1);  // without the sign bit
  const Real infinity = std::numeric_limits<Real>::infinity();
  Bits largest{};
  std::memcpy(&largest, &infinity, sizeof largest);
  if (magnitude > static_cast<Bits>(largest << 1)) return kNanKey;
  return magnitude == 0 ? 0 : bits;
}
uint64_t key_of(float key) { return key_of_real<uint32_t>(key); }
uint64_t key_of(double key) { return key_of_real<uint64_t>(key); }

// Finds the position of a key. It has the fastest of three forms: an array for keys that are close
// together, as positions in a vocabulary mostly are; a list for few keys; otherwise a hash table.
class KeyTable {
 public:
  struct Entry {
    uint64_t key;
    uint32_t position;
  };

  // If a key occurs more than once, its first entry is used. `missing` is returned for keys without
  // an entry.
  KeyTable(const std::vector<Entry>& entries, uint32_t missing) : missing_(missing) {
    const auto [low, high] =
        std::minmax_element(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
          return static_cast<int64_t>(a.key) < static_cast<int64_t>(b.key);
        });
    if (!entries.empty() && high->key - low->key < kMinArray + kMaxSpread * entries.size()) {
      make_array(entries, low->key, high->key - low->key + 1);
    } else if (entries.size() <= kMaxList) {
      form_ = Form::kList;
      slots_ = entries;
    } else {
      make_hash_table(entries);
    }
  }

  // Calls use(find), where find(key) returns the position of a key. The type of `find` depends on
  // the form, so that a loop inside of `use` does not test it.
  template <typename Use>
  void with_finder(Use&& use) const {
    const uint32_t missing = missing_;
    if (form_ == Form::kArray) {
      use([missing, low = low_, size = array_.size(), array = array_.data()](uint64_t key) {
        const uint64_t at = key - low;
        return at < size ? array[at] : missing;
      });
    } else if (form_ == Form::kList) {
      use([missing, begin = slots_.data(), end = slots_.data() + slots_.size()](uint64_t key) {
        for (const Entry* slot = begin; slot != end; ++slot) {
          if (slot->key == key) return slot->position;
        }
        return missing;
      });
    } else {
      use([missing, mask = slots_.size() - 1, slots = slots_.data()](uint64_t key) {
        for (size_t at = hash(key) & mask;; at = (at + 1) & mask) {
          if (slots[at].position == kEmpty) return missing;
          if (slots[at].key == key) return slots[at].position;
        }
      });
    }
  }

 private:
  enum class Form : uint8_t { kArray, kList, kHashTable };
  // The limit for arrays is kMinArray elements and kMaxSpread for each key, so a file with few keys
  // cannot demand much memory.
  static constexpr uint64_t kMinArray = 256;
  static constexpr uint64_t kMaxSpread = 16;
  static constexpr size_t kMaxList = 16;
  static constexpr uint32_t kEmpty = UINT32_MAX;  // no position: a file cannot have as many keys

  static size_t hash(uint64_t key) {
    return SeededHash{}(std::string_view(reinterpret_cast<const char*>(&key), sizeof key));
  }

  void make_array(const std::vector<Entry>& entries, uint64_t low, uint64_t size) {
    form_ = Form::kArray;
    low_ = low;
    array_.assign(size, missing_);
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry)
      array_[entry->key - low] = entry->position;
  }

  void make_hash_table(const std::vector<Entry>& entries) {
    form_ = Form::kHashTable;
    size_t size = 1;
    while (size < 2 * entries.size()) size *= 2;
    slots_.assign(size, Entry{0, kEmpty});
    for (const Entry& entry : entries) {
      size_t at = hash(entry.key) & (size - 1);
      while (slots_[at].position != kEmpty && slots_[at].key != entry.key)
        at = (at + 1) & (size - 1);
      if (slots_[at].position == kEmpty) slots_[at] = entry;
    }
  }

  const uint32_t missing_;
  Form form_ = Form::kArray;
  uint64_t low_ = 0;             // the key of the first element of the array
  std::vector<uint32_t> array_;  // positions
  std::vector<Entry> slots_;     // of the list or the hash table
};

enum class Duplicates : uint8_t { kFirstCounts, kLastCounts };

// A table in which the position of a key is its index in `keys`, and that of a missing key is
// keys.size().
template <typename Key>
KeyTable make_table(const std::vector<Key>& keys, Duplicates duplicates, bool nan_is_a_key = true) {
  std::vector<KeyTable::Entry> entries;
  entries.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    const uint64_t key = key_of(keys[i]);
    if (std::is_floating_point_v<Key> && !nan_is_a_key && key == kNanKey) continue;
    entries.push_back({key, static_cast<uint32_t>(i)});
  }
  if (duplicates == Duplicates::kLastCounts) std::reverse(entries.begin(), entries.end());
  return KeyTable(entries, static_cast<uint32_t>(keys.size()));
}

std::vector<Text> in_vocabulary(const std::vector<std::string_view>& texts,
                                Vocabulary& vocabulary) {
  std::vector<Text> result;
  result.reserve(texts.size());
  for (const std::string_view text : texts) result.push_back(vocabulary.add(text));
  return result;
}

// Replaces each key by the value at its position. The last element of `values` is that for missing
// keys.
template <typename Key, typename Value>
std::unique_ptr<Step> lookup_step(const KeyTable& table, const std::vector<Value>& values,
                                  const Tensor& x, Tensor* out) {
  out->shape(dtype_of<Value>(), x.dims);
  return make_step([&table, &values, &x, out](const Interrupt& interrupt) {
    const Key* from = x.as<Key>();
    Value* to = out->as<Value>();
    const Value* value_at = values.data();
    table.with_finder([&](auto find) {
      in_blocks(interrupt, x.count, kBlock, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) to[i] = value_at[find(key_of(from[i]))];
      });
    });
  });
}

[[noreturn]] void invalid(const Node& node, const std::string& problem) {
  refuse_node(node, SIDECALL_FILE_INVALID, problem);
}

// ---- LabelEncoder since version 2 ----

using Column =
    std::variant<std::vector<Text>, std::vector<int64_t>, std::vector<float>, std::vector<double>>;

class LabelEncoder final : public Operator {
 public:
  explicit LabelEncoder(const Compile& compile)
      : node_(compile.node),
        values_(read_column("values", compile.vocabulary)),
        table_(read_keys(compile.vocabulary)) {
    std::visit([&](auto& values) { add_default(&values, compile.vocabulary); }, values_);
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    if (x.dtype != keys_dtype_)
      invalid(node_, std::string("its keys are ") + dtype_name(keys_dtype_) +
                         ", but its input is " + dtype_name(x.dtype));
    return with_type<Text, int64_t, float, double>(x.dtype, [&](auto zero) {
      return std::visit(
          [&](const auto& values) {
            return lookup_step<decltype(zero)>(table_, values, x, out[0]);
          },
          values_);
    });
  }

 private:
  // The attribute "<what>_strings", "<what>_int64s", "<what>_floats" or "<what>_tensor".
  Column read_column(const std::string& what, Vocabulary& vocabulary) const {
    const std::string texts = what + "_strings", integers = what + "_int64s";
    const std::string reals = what + "_floats", tensor = what + "_tensor";
    const bool has_tensor = node_.version >= 4 && node_.has(tensor);
    const int count = node_.has(texts) + node_.has(integers) + node_.has(reals) + has_tensor;
    if (count != 1)
      invalid(node_, "expected " + what + " in exactly 1 attribute, got " + std::to_string(count));
    if (has_tensor) return column_of(*node_.tensor(tensor), tensor);
    if (node_.has(texts)) return in_vocabulary(node_.texts(texts), vocabulary);
    if (node_.has(integers)) return node_.integers(integers);
    return node_.reals(reals);
  }

  Column column_of(const Constant& tensor, const std::string& name) const {
    if (tensor.dims.size() != 1)
      invalid(node_, name + ": expected a tensor of rank 1, got rank " +
                         std::to_string(tensor.dims.size()));
    std::optional<Column> column =
        with_type<Text, int64_t, float, double>(tensor.dtype, [&](auto zero) {
          using T = decltype(zero);
          const T* elements = static_cast<const T*>(tensor.place.data);
          return std::optional<Column>(std::vector<T>(elements, elements + tensor.count));
        });
    if (!column)
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  name + ": expected a tensor of string, int64, float32 or float64, got one of " +
                      dtype_name(tensor.dtype));
    return *std::move(column);
  }

  KeyTable read_keys(Vocabulary& vocabulary) {
    const size_t num_values = std::visit([](const auto& values) { return values.size(); }, values_);
    return std::visit(
        [&](const auto& keys) {
          using Key = typename std::decay_t<decltype(keys)>::value_type;
          if (keys.size() != num_values)
            invalid(node_, "expected one value for each key, got " + std::to_string(keys.size()) +
                               " keys and " + std::to_string(num_values) + " values");
          keys_dtype_ = dtype_of<Key>();
          // In ONNX Runtime, a NaN key matches only since version 4.
          return make_table(keys, Duplicates::kFirstCounts, node_.version >= 4);
        },
        read_column("keys", vocabulary));
  }

  template <typename Value>
  void add_default(std::vector<Value>* values, Vocabulary& vocabulary) const {
    if (node_.version >= 4 && node_.has("default_tensor")) {
      const Column column = column_of(*node_.tensor("default_tensor"), "default_tensor");
      const auto* found = std::get_if<std::vector<Value>>(&column);
      if (found == nullptr || found->size() != 1)
        invalid(node_, "default_tensor: expected 1 element of the type of the values");
      values->push_back(found->front());
    } else if constexpr (std::is_same_v<Value, Text>) {
      values->push_back(vocabulary.add(node_.text("default_string", "_Unused")));
    } else if constexpr (std::is_same_v<Value, int64_t>) {
      values->push_back(node_.integer("default_int64", -1));
    } else if constexpr (std::is_same_v<Value, float>) {
      values->push_back(node_.real("default_float", -0.0F));
    } else {
      values->push_back(-0.0);  // ONNX Runtime ignores default_float here
    }
  }

  const Node& node_;
  int32_t keys_dtype_ = 0;
  Column values_;
  const KeyTable table_;
};

// ---- CategoryMapper, and LabelEncoder in version 1 ----

// Maps strings to numbers or, for an input of numbers, numbers to strings.
class TwoWayMapper final : public Operator {
 public:
  TwoWayMapper(const Compile& compile, const std::vector<std::string_view>& texts,
               std::vector<int64_t> numbers)
      : node_(compile.node),
        texts_(in_vocabulary(texts, compile.vocabulary)),
        numbers_(std::move(numbers)),
        by_text_(make_table(texts_, Duplicates::kLastCounts)),
        by_number_(make_table(numbers_, Duplicates::kLastCounts)) {
    texts_.push_back(compile.vocabulary.add(node_.text("default_string", "_Unused")));
    numbers_.push_back(node_.integer("default_int64", -1));
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    if (x.dtype == SIDECALL_DTYPE_STRING)
      return lookup_step<Text, int64_t>(by_text_, numbers_, x, out[0]);
    if (x.dtype == SIDECALL_DTYPE_INT64)
      return lookup_step<int64_t, Text>(by_number_, texts_, x, out[0]);
    refuse_type(node_, x);
  }

 private:
  const Node& node_;
  std::vector<Text> texts_;
  std::vector<int64_t> numbers_;
  const KeyTable by_text_, by_number_;
};

std::unique_ptr<Operator> make_category_mapper(const Compile& compile) {
  const Node& node = compile.node;
  const auto& texts = node.texts("cats_strings");
  const auto& numbers = node.integers("cats_int64s");
  if (!node.has("cats_strings") || !node.has("cats_int64s"))
    invalid(node, "expected cats_strings and cats_int64s, got only one of them or none");
  if (texts.size() != numbers.size())
    invalid(node, "expected one number for each string, got " + std::to_string(texts.size()) +
                      " strings and " + std::to_string(numbers.size()) + " numbers");
  return std::make_unique<TwoWayMapper>(compile, texts, numbers);
}

std::unique_ptr<Operator> make_old_label_encoder(const Compile& compile) {
  const auto& texts = compile.node.texts("classes_strings");
  if (!compile.node.has("classes_strings"))
    invalid(compile.node, "expected classes_strings, got none");
  std::vector<int64_t> numbers(texts.size());
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int64_t>(i);
  return std::make_unique<TwoWayMapper>(compile, texts, std::move(numbers));
}

std::unique_ptr<Operator> make_label_encoder(const Compile& compile) {
  return std::make_unique<LabelEncoder>(compile);
}

// ---- OneHotEncoder ----

class OneHotEncoder final : public Operator {
 public:
  explicit OneHotEncoder(const Compile& compile)
      : node_(compile.node),
        is_text_(node_.has("cats_strings")),
        num_categories_(static_cast<int64_t>(is_text_ ? node_.texts("cats_strings").size()
                                                      : node_.integers("cats_int64s").size())),
        accepts_unknown_(node_.integer("zeros", 1) != 0),
        table_(is_text_ ? make_table(in_vocabulary(node_.texts("cats_strings"), compile.vocabulary),
                                     Duplicates::kLastCounts)
                        : make_table(node_.integers("cats_int64s"), Duplicates::kLastCounts)) {
    if (node_.has("cats_int64s") == is_text_)

      invalid(node_, std::string("expected either cats_int64s or cats_strings, got ") +
                         (is_text_ ? "both" : "neither"));
    if (num_categories_ == 0) invalid(node_, "expected at least 1 category, got none");
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    Dims dims = x.dims;
    dims.push_back(num_categories_);
    out[0]->shape(SIDECALL_DTYPE_FLOAT32, std::move(dims));
    std::unique_ptr<Step> step;
    if (is_text_ == (x.dtype == SIDECALL_DTYPE_STRING)) {
      step = with_type<Text, int64_t, float, double>(
          x.dtype, [&](auto zero) { return encode_step<decltype(zero)>(x, out[0]); });
    }
    if (!step) refuse_type(node_, x);
    return step;
  }

 private:
  // Truncates a real number to an integer as the x86 instructions do: a number that does not fit
  // becomes the smallest integer, and so does NaN.
  template <typename T>
  static uint64_t category_of(const T& x) {
    if constexpr (std::is_floating_point_v<T>) {
      constexpr T kLimit = T{9223372036854775808U};
      if (!(x < kLimit) || x < -kLimit) return key_of(std::numeric_limits<int64_t>::min());
      return key_of(static_cast<int64_t>(x));
    } else {
      return key_of(x);
    }
  }

  template <typename T>
  std::unique_ptr<Step> encode_step(const Tensor& x, Tensor* out) const {
    return make_step([this, &x, out](const Interrupt& interrupt) {
      const T* from = x.as<T>();
      float* to = out->as<float>();
      const int64_t width = num_categories_;
      table_.with_finder([&](auto find) {
        in_blocks(interrupt, x.count, kBlock / width + 1, [&](int64_t begin, int64_t end) {
          std::fill(to + begin * width, to + end * width, 0.0F);
          for (int64_t i = begin; i < end; ++i) {
            const int64_t position = find(category_of(from[i]));
            if (position < width) to[i * width + position] = 1.0F;
            else if (!accepts_unknown_)
              refuse_node(node_, SIDECALL_ENGINE, "the input has an unknown category");
          }
        });
      });
    });
  }

  const Node& node_;
  const bool is_text_;
  const int64_t num_categories_;
  const bool accepts_unknown_;
  const KeyTable table_;
};

std::unique_ptr<Operator> make_one_hot_encoder(const Compile& compile) {
  return std::make_unique<OneHotEncoder>(compile);
}

// ---- ArrayFeatureExtractor ----

// Selects elements along the last axis. Indices are checked only when the step runs, even if they
// are known earlier: when the model is opened, a dynamic width is tried with 1, which would be too
// small for most indices.
template <typename T>
std::unique_ptr<Step> pick_step(const Node& node, const Tensor& x, const Tensor& indices,
                                const Tensor* out, int64_t rows, int64_t width) {
  return make_step([&node, &x, &indices, out, rows, width](const Interrupt& interrupt) {
    const T* from = x.as<T>();
    const int64_t* at = indices.as<int64_t>();
    T* to = out->as<T>();
    const int64_t count = indices.count;
    bool is_inside = true;
    for (int64_t j = 0; j < count; ++j) is_inside &= at[j] >= 0 && at[j] < width;
    if (!is_inside) refuse_node(node, SIDECALL_ENGINE, "an index is out of range");
    in_blocks(interrupt, rows, kBlock / count + 1, [&](int64_t begin, int64_t end) {
      if (count == 1) {
        const T* column = from + at[0];
        for (int64_t row = begin; row < end; ++row) to[row] = column[row * width];
        return;
      }
      for (int64_t row = begin; row < end; ++row) {
        const T* source = from + row * width;
        T* target = to + row * count;
        for (int64_t j = 0; j < count; ++j) target[j] = source[at[j]];
      }
    });
  });
}

std::unique_ptr<Step> prepare_extractor(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor& indices = required(node, in, 1);
  if (indices.dtype != SIDECALL_DTYPE_INT64)
    invalid(node, std::string("expected indices of int64, got ") + dtype_name(indices.dtype));
  if (x.rank() == 0) refuse_node(node, SIDECALL_ENGINE, "expected an input of rank 1 or more");
  if (indices.count == 0) refuse_node(node, SIDECALL_ENGINE, "expected at least 1 index, got none");
  const int64_t width = x.dims.back();
  Dims dims = x.rank() == 1 ? Dims{1, width} : x.dims;
  dims.back() = 1;
  const int64_t rows = count_elements(dims);
  dims.back() = indices.count;
  out[0]->shape(x.dtype, std::move(dims));
  std::unique_ptr<Step> step = with_type<double, float, int64_t, int32_t, Text>(
      x.dtype,
      [&](auto zero) { return pick_step<decltype(zero)>(node, x, indices, out[0], rows, width); });
  if (!step) refuse_type(node, x);
  return step;
}

}  // namespace

const std::vector<OperatorEntry>& lookup_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {kDomain, "LabelEncoder", 1, 1, make_old_label_encoder, rows::by_element, 1},
      {kDomain, "LabelEncoder", 2, kAnyVersion, make_label_encoder, rows::by_element, 1},
      {kDomain, "CategoryMapper", 1, kAnyVersion, make_category_mapper, rows::by_element, 1},
      {kDomain, "OneHotEncoder", 1, kAnyVersion, make_one_hot_encoder, rows::by_item},
      {kDomain, "ArrayFeatureExtractor", 1, kAnyVersion, make_plain<prepare_extractor>,
       rows::by_row},
  };
  return *all;
}

}  // namespace sidecall::native
