// Reads the graph of a model file; see graph.h. OnnxFile has already checked the bytes: every field
// has the wire type that onnx.proto gives it, and text is UTF-8.
#include "graph.h"

#include <cstring>
#include <type_traits>
#include <unordered_map>

#include "core/artifact/protobuf.h"
#include "core/artifact/sha256.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/text.h"

namespace sidecall::native {

using protobuf::Field;
using protobuf::Reader;

// ---- Constants, attributes ----

std::unique_ptr<Constant> make_constant(int32_t dtype, Dims dims) {
  auto constant = std::make_unique<Constant>();
  constant->dtype = dtype;
  constant->count = count_elements(dims);
  constant->dims = std::move(dims);
  const auto count = static_cast<uint64_t>(constant->count);
  if (count > UINT64_MAX / sizeof(Text))
    throw Error(SIDECALL_OUT_OF_MEMORY, "out of memory: a tensor of the graph is too large");
  constant->buffer.reserve(count * element_bytes(dtype));
  constant->place.data = constant->buffer.data();
  return constant;
}

namespace {

const char* type_name(AttributeType type) {
  switch (type) {
    case AttributeType::kReal:
      return "a float";
    case AttributeType::kInteger:
      return "an int";
    case AttributeType::kText:
      return "a string";
    case AttributeType::kTensor:
      return "a tensor";
    case AttributeType::kReals:
      return "floats";
    case AttributeType::kIntegers:
      return "ints";
    case AttributeType::kTexts:
      return "strings";
  }
  return "another type";
}

}  // namespace

bool Node::has(std::string_view attribute) const {
  for (const Attribute& each : attributes) {
    if (each.name == attribute) return true;
  }
  return false;
}

const Attribute* Node::find(std::string_view attribute, AttributeType type) const {
  for (const Attribute& each : attributes) {
    if (each.name != attribute) continue;
    if (each.type == type) return &each;
    throw Error(SIDECALL_FILE_INVALID, describe() + ": attribute '" + std::string(attribute) +
                                           "' has an unexpected type: expected " + type_name(type) +
                                           ", got " + type_name(each.type));
  }
  return nullptr;
}

int64_t Node::integer(std::string_view attribute, int64_t otherwise) const {
  const Attribute* found = find(attribute, AttributeType::kInteger);
  return found == nullptr ? otherwise : found->integer;
}

float Node::real(std::string_view attribute, float otherwise) const {
  const Attribute* found = find(attribute, AttributeType::kReal);
  return found == nullptr ? otherwise : found->real;
}

std::string_view Node::text(std::string_view attribute, std::string_view otherwise) const {
  const Attribute* found = find(attribute, AttributeType::kText);
  return found == nullptr ? otherwise : found->text;
}

const std::vector<int64_t>& Node::integers(std::string_view attribute) const {
  static const std::vector<int64_t> none;
  const Attribute* found = find(attribute, AttributeType::kIntegers);
  return found == nullptr ? none : found->integers;
}

const std::vector<float>& Node::reals(std::string_view attribute) const {
  static const std::vector<float> none;
  const Attribute* found = find(attribute, AttributeType::kReals);
  return found == nullptr ? none : found->reals;
}

const std::vector<std::string_view>& Node::texts(std::string_view attribute) const {
  static const std::vector<std::string_view> none;
  const Attribute* found = find(attribute, AttributeType::kTexts);
  return found == nullptr ? none : found->texts;
}

const Constant* Node::tensor(std::string_view attribute) const {
  const Attribute* found = find(attribute, AttributeType::kTensor);
  return found == nullptr ? nullptr : found->tensor.get();
}

std::string Node::describe() const {
  std::string type(op);
  if (!domain.empty()) type = std::string(domain) + "." + type;
  return "node '" + printable(std::string(name)) + "' (" + printable(type) + ")";
}

namespace {

// The newest versions whose changes are known here. A newer version may give an operator another
// meaning.
constexpr int64_t kNewestOpset = 28;
constexpr int64_t kNewestMlOpset = 5;
constexpr uint64_t kNewestIr = 14;

template <typename Number>
Number from_little_endian(std::string_view bytes) {
  Number number{};
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

// Reads the protobuf messages of one model. The field numbers are those of onnx.proto.
class GraphReader {
 public:
  GraphReader(const EngineInput& input, const std::string& what) : input_(input), what_(what) {}

  Graph read() {
    std::string_view graph;
    Reader reader(input_.model());
    for (Field field; reader.next(&field);) {
      if (field.number == 1 && field.value > kNewestIr)
        refuse(SIDECALL_UNSUPPORTED, "expected ir_version " + std::to_string(kNewestIr) +
                                         " or older, got " + std::to_string(field.value));
      if (field.number == 7) graph = field.bytes;
      if (field.number == 8) read_import(field.bytes);
      if (field.number == 25) read_function(field.bytes);
    }
    read_graph(graph);
    return std::move(graph_);
  }

 private:
  [[noreturn]] void refuse(int32_t status, const std::string& problem) const {
    throw Error(status, what_ + problem);
  }

  void read_import(std::string_view message) {
    std::string_view domain;
    int64_t version = 0;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1) domain = field.bytes;
      if (field.number == 2) version = static_cast<int64_t>(field.value);
    }
    domain = canonical(domain);
    const int64_t newest = domain.empty()           ? kNewestOpset
                           : domain == "ai.onnx.ml" ? kNewestMlOpset
                                                    : version;
    if (version > newest)
      refuse(SIDECALL_UNSUPPORTED, "expected version " + std::to_string(newest) +
                                       " or older of the operator set '" +
                                       (domain.empty() ? "ai.onnx" : std::string(domain)) +
                                       "', got " + std::to_string(version));
    versions_[domain] = version;
  }

  // Functions of the same name may differ in `overload`. As nodes of this engine have no overload,
  // such functions are refused.
  void read_function(std::string_view message) {
    std::string_view domain, name;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1) name = field.bytes;
      if (field.number == 10) domain = canonical(field.bytes);
      if (field.number == 13 && !field.bytes.empty())
        refuse(SIDECALL_UNSUPPORTED, "function '" + printable(std::string(name)) +
                                         "': expected a function without overload, got one with");
    }
    Sha256 hash;
    hash.update(message);
    if (!functions_[domain].emplace(name, hash.hex()).second)
      refuse(SIDECALL_FILE_INVALID,
             "function '" + printable(std::string(name)) + "': expected one definition, got more");
  }

  std::string hash_of_function(const Node& node) const {
    const auto domain = functions_.find(node.domain);
    if (domain == functions_.end()) return {};
    const auto function = domain->second.find(node.op);
    return function == domain->second.end() ? std::string() : function->second;
  }

  static std::string_view canonical(std::string_view domain) {
    return domain == "ai.onnx" ? std::string_view() : domain;
  }

  // A value must be known before a node refers to it, so initializers and inputs are read first.
  // One pass over the message for each kind, because fields may come in any order.
  void read_graph(std::string_view message) {
    Reader first(message);
    for (Field field; first.next(&field);) {
      if (field.number == 5) read_initializer(field.bytes);
      if (field.number == 15)
        refuse(SIDECALL_UNSUPPORTED, "expected dense initializers, got sparse ones");
    }
    Reader second(message);
    for (Field field; second.next(&field);) {
      if (field.number == 11) read_input(field.bytes);
    }
    Reader third(message);
    for (Field field; third.next(&field);) {
      if (field.number == 1) read_node(field.bytes);
    }
    Reader last(message);
    for (Field field; last.next(&field);) {
      if (field.number != 12) continue;
      TensorSpec spec = read_spec(field.bytes, "output");
      graph_.output_values.push_back(find_value(spec.name, "outputs of the graph"));
      graph_.outputs.push_back(std::move(spec));
    }
  }

  int32_t add_value(std::string_view name) {
    const auto index = static_cast<int32_t>(graph_.values.size());
    if (!name.empty() && !indices_.emplace(name, index).second)
      refuse(SIDECALL_FILE_INVALID,
             "value '" + printable(std::string(name)) +
                 "': expected one initializer, input or node that defines it, got more");
    graph_.values.push_back({name, nullptr});
    return index;
  }

  int32_t find_value(std::string_view name, const std::string& reader) const {
    const auto found = indices_.find(name);
    if (found == indices_.end())
      refuse(SIDECALL_FILE_INVALID,
             reader +
                 ": expected an initializer, an input or an earlier node that defines value '" +
                 printable(std::string(name)) + "', got none");
    return found->second;
  }

  void read_initializer(std::string_view message) {
    std::string_view name;
    std::unique_ptr<Constant> constant = read_tensor(message, &name, true);
    const int32_t index = add_value(name);
    graph_.values[static_cast<size_t>(index)].constant = std::move(constant);
  }

  void read_input(std::string_view message) {
    TensorSpec spec = read_spec(message, "input");
    // An initializer with the name of an input is the default value of that input. Callers cannot
    // set such an input, so it is a constant here.
    if (indices_.count(spec.name) != 0) return;
    graph_.input_values.push_back(add_value(name_of(message)));
    graph_.inputs.push_back(std::move(spec));
  }

  static std::string_view name_of(std::string_view message) {
    std::string_view name;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1) name = field.bytes;
    }
    return name;
  }

  TensorSpec read_spec(std::string_view message, const std::string& kind) const {
    TensorSpec spec;
    spec.name = name_of(message);
    spec.is_shaped = false;
    std::string_view type;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 2) type = field.bytes;
    }
    std::string_view tensor;
    std::string got = "no type";
    Reader types(type);
    for (Field field; types.next(&field);) {
      if (field.number == 1) {
        tensor = field.bytes;
        got = "one without an element type";
      }
      if (field.number == 4) got = "a sequence";
      if (field.number == 5) got = "a map";
      if (field.number == 7) got = "an opaque type";
      if (field.number == 8) got = "a sparse tensor";
      if (field.number == 9) got = "an optional";
    }
    Reader parts(tensor);
    for (Field field; parts.next(&field);) {
      if (field.number == 1) spec.dtype = static_cast<int32_t>(field.value);
      if (field.number != 2) continue;
      spec.is_shaped = true;
      Reader dims(field.bytes);
      for (Field dim; dims.next(&dim);) {
        if (dim.number == 1) read_dim(dim.bytes, &spec);
      }
    }
    if (is_supported(spec.dtype)) return spec;
    std::string expected = "a tensor";
    if (spec.dtype != 0) {
      expected += " of float32, float64, int32, int64, bool or string";
      got = dtype_name(spec.dtype);
    }
    const Fault fault{SIDECALL_UNSUPPORTED, -1, spec.name, expected, got};
    throw Error(fault, what_ + kind + " '" + printable(spec.name) + "': expected " + expected +
                           ", got " + got);
  }

  static void read_dim(std::string_view message, TensorSpec* spec) {
    int64_t size = -1;
    std::string name;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1) size = static_cast<int64_t>(field.value);
      if (field.number == 2) name = field.bytes;
    }
    spec->dims.push_back(size < 0 ? -1 : size);
    spec->dim_names.push_back(size < 0 ? name : "");
  }

  void read_node(std::string_view message) {
    Node node;
    std::vector<std::string_view> outputs;
    std::vector<std::string_view> inputs;
    std::vector<std::string_view> attributes;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1) inputs.push_back(field.bytes);
      if (field.number == 2) outputs.push_back(field.bytes);
      if (field.number == 3) node.name = field.bytes;
      if (field.number == 4) node.op = field.bytes;
      if (field.number == 5) attributes.push_back(field.bytes);
      if (field.number == 7) node.domain = canonical(field.bytes);
    }
    const auto version = versions_.find(node.domain);
    if (version == versions_.end())
      refuse(SIDECALL_FILE_INVALID,
             node.describe() + ": expected an import of its operator set, got none");
    node.version = version->second;
    node.function = hash_of_function(node);
    constexpr size_t kMaxAttributes = 100;  // no operator has so many
    if (attributes.size() > kMaxAttributes)
      refuse(SIDECALL_FILE_INVALID, node.describe() + ": expected at most " +
                                        std::to_string(kMaxAttributes) + " attributes, got " +
                                        std::to_string(attributes.size()));
    for (const std::string_view attribute : attributes) read_attribute(attribute, &node);
    for (const std::string_view name : inputs)
      node.inputs.push_back(name.empty() ? -1 : find_value(name, node.describe()));
    for (const std::string_view name : outputs)
      node.outputs.push_back(name.empty() ? -1 : add_value(name));
    graph_.nodes.push_back(std::move(node));
  }

  void read_attribute(std::string_view message, Node* node) {
    Attribute attribute;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      switch (field.number) {
        case 1:
          attribute.name = field.bytes;
          break;
        case 2:
          attribute.real = from_little_endian<float>(field.bytes);
          break;
        case 3:
          attribute.integer = static_cast<int64_t>(field.value);
          break;
        case 4:
          attribute.text = field.bytes;
          break;
        case 5: {
          std::string_view name;
          attribute.tensor = read_tensor(field.bytes, &name, false);
          break;
        }
        case 7:
          add_fixed(field, &attribute.reals);
          if (!field.is_bytes) add_following(&reader, 5, &attribute.reals);
          break;
        case 8:
          add_varints(field, &attribute.integers);
          if (!field.is_bytes) add_following(&reader, 2, &attribute.integers);
          break;
        case 9:
          attribute.texts.push_back(field.bytes);
          for (std::string_view text; reader.next_same(&text);) attribute.texts.push_back(text);
          break;
        case 20:
          attribute.type = static_cast<AttributeType>(field.value);
          break;
        case 21:
          refuse(SIDECALL_FILE_INVALID,
                 node->describe() +
                     ": expected attributes with values, got a reference to an attribute of a "
                     "function");
        default:
          break;  // no operator of this engine has an attribute of another type
      }
    }
    if (attribute.type == AttributeType::kTensor && !attribute.tensor)
      refuse(SIDECALL_FILE_INVALID, node->describe() + ": attribute '" +
                                        printable(std::string(attribute.name)) +
                                        "': expected a tensor, got none");
    if (node->has(attribute.name))
      refuse(SIDECALL_FILE_INVALID, node->describe() + ": attribute '" +
                                        printable(std::string(attribute.name)) + "' occurs twice");
    node->attributes.push_back(std::move(attribute));
  }

  template <typename Number>
  static void add_fixed(const Field& field, std::vector<Number>* numbers) {
    const size_t count = field.bytes.size() / sizeof(Number);
    const size_t before = numbers->size();
    numbers->resize(before + count);
    if (count > 0)
      std::memcpy(numbers->data() + before, field.bytes.data(), count * sizeof(Number));
  }

  template <typename Number>
  static void add_varints(const Field& field, std::vector<Number>* numbers) {
    if (!field.is_bytes) {
      numbers->push_back(static_cast<Number>(field.value));
      return;
    }
    Reader packed(field.bytes);
    numbers->reserve(numbers->size() + field.bytes.size());
    for (uint64_t value = 0; packed.next_varint(&value);)
      numbers->push_back(static_cast<Number>(value));
  }

  // The numbers of the following fields with the same tag. Each field takes at least `min_bytes`.
  template <typename Number>
  static void add_following(Reader* reader, size_t min_bytes, std::vector<Number>* numbers) {
    numbers->reserve(numbers->size() + reader->num_left() / min_bytes);
    using Value = std::conditional_t<std::is_floating_point_v<Number>, Number, uint64_t>;
    for (Value value{}; reader->next_same(&value);) numbers->push_back(static_cast<Number>(value));
  }

  // The fields of a TensorProto that can hold its elements. Which one does depends on the type.
  struct Elements {
    std::string_view raw;
    bool has_raw = false;
    std::vector<float> floats;
    std::vector<double> doubles;
    std::vector<int32_t> int32s;
    std::vector<int64_t> int64s;
    std::vector<std::string_view> texts;
  };

  // Only initializers of the main graph may be passed separately from the model. Their names are
  // unique; a tensor of a node may have the same name.
  std::unique_ptr<Constant> read_tensor(std::string_view message, std::string_view* name,
                                        bool is_initializer) {
    int32_t dtype = 0;
    Dims dims;
    Elements elements;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 1) add_varints(field, &dims);
      if (field.number == 2) dtype = static_cast<int32_t>(field.value);
      if (field.number == 4) add_fixed(field, &elements.floats);
      if (field.number == 5) add_varints(field, &elements.int32s);
      if (field.number == 6) elements.texts.push_back(field.bytes);
      if (field.number == 7) add_varints(field, &elements.int64s);
      if (field.number == 8) *name = field.bytes;
      if (field.number == 10) add_fixed(field, &elements.doubles);
      if (field.number != 9) continue;
      elements.raw = field.bytes;
      elements.has_raw = true;
    }
    for (const MemoryInitializer& separate : input_.initializers) {
      if (!is_initializer || separate.name != *name) continue;
      elements.raw = separate.data;
      elements.has_raw = true;
    }
    const std::string tensor = "tensor '" + printable(std::string(*name)) + "'";
    // uint8 is only for the attribute nodes_modes of TreeEnsemble.
    if (!is_supported(dtype) && dtype != SIDECALL_DTYPE_UINT8)
      refuse(SIDECALL_UNSUPPORTED,
             tensor + ": expected float32, float64, int32, int64, bool, string or uint8, got " +
                 dtype_name(dtype));
    return fill(dtype, std::move(dims), elements, tensor);
  }

  std::unique_ptr<Constant> fill(int32_t dtype, Dims dims, const Elements& elements,
                                 const std::string& tensor) {
    if (dims.size() > kMaxRank)
      refuse(SIDECALL_UNSUPPORTED, tensor + ": expected rank " + std::to_string(kMaxRank) +
                                       " or less, got rank " + std::to_string(dims.size()));
    uint64_t expected = 0;
    try {
      expected = static_cast<uint64_t>(count_elements(dims));
    } catch (const Error& error) {
      refuse(SIDECALL_FILE_INVALID, tensor + ": " + error.what());
    }
    const auto check = [&](uint64_t got) {
      if (got != expected)
        refuse(SIDECALL_FILE_INVALID, tensor + ": expected " + std::to_string(expected) +
                                          " elements, got " + std::to_string(got));
    };
    if (dtype == SIDECALL_DTYPE_STRING) {
      check(elements.texts.size());
      auto constant = make_constant(dtype, std::move(dims));
      Text* to = static_cast<Text*>(constant->place.data);
      for (const std::string_view text : elements.texts) *to++ = graph_.vocabulary.add(text);
      return constant;
    }
    const uint64_t size = element_bytes(dtype);
    if (elements.has_raw) {
      if (elements.raw.size() % size != 0)
        refuse(SIDECALL_FILE_INVALID, tensor + ": expected elements of " + std::to_string(size) +
                                          " bytes, got " + std::to_string(elements.raw.size()) +
                                          " bytes of data");
      check(elements.raw.size() / size);
      auto constant = make_constant(dtype, std::move(dims));
      if (expected > 0) std::memcpy(constant->place.data, elements.raw.data(), elements.raw.size());
      return make_bools_canonical(std::move(constant));
    }
    switch (dtype) {
      case SIDECALL_DTYPE_FLOAT32:
        check(elements.floats.size());
        return copy<float>(dtype, std::move(dims), elements.floats);
      case SIDECALL_DTYPE_FLOAT64:
        check(elements.doubles.size());
        return copy<double>(dtype, std::move(dims), elements.doubles);
      case SIDECALL_DTYPE_INT32:
        check(elements.int32s.size());
        return copy<int32_t>(dtype, std::move(dims), elements.int32s);
      case SIDECALL_DTYPE_INT64:
        check(elements.int64s.size());
        return copy<int64_t>(dtype, std::move(dims), elements.int64s);
      default:  // bool and uint8
        check(elements.int32s.size());
        return make_bools_canonical(copy<uint8_t>(dtype, std::move(dims), elements.int32s));
    }
  }

  template <typename T, typename From>
  static std::unique_ptr<Constant> copy(int32_t dtype, Dims dims, const std::vector<From>& from) {
    auto constant = make_constant(dtype, std::move(dims));
    T* to = static_cast<T*>(constant->place.data);
    for (const From element : from) {
      if (dtype == SIDECALL_DTYPE_BOOL) *to++ = static_cast<T>(element != 0);
      else *to++ = static_cast<T>(element);
    }
    return constant;
  }

  // In a file, any byte other than 0 is true. Operators expect 0 or 1.
  static std::unique_ptr<Constant> make_bools_canonical(std::unique_ptr<Constant> constant) {
    if (constant->dtype != SIDECALL_DTYPE_BOOL) return constant;
    auto* bools = static_cast<uint8_t*>(constant->place.data);
    for (int64_t i = 0; i < constant->count; ++i) bools[i] = bools[i] != 0 ? 1 : 0;
    return constant;
  }

  const EngineInput& input_;
  const std::string& what_;
  Graph graph_;
  std::unordered_map<std::string_view, int64_t, SeededHash> versions_;
  // The hashes of the model's functions, by domain and name.
  using Hashes = std::unordered_map<std::string_view, std::string, SeededHash>;
  std::unordered_map<std::string_view, Hashes, SeededHash> functions_;
  std::unordered_map<std::string_view, int32_t, SeededHash> indices_;
};

}  // namespace

Graph read_graph(const EngineInput& input, const std::string& what) {
  return GraphReader(input, what).read();
}

}  // namespace sidecall::native
