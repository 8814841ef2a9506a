// Changes a model file by the schema of ONNX, and writes the right lengths, so that most files stay
// readable: one field, the operator of a node, one type of elements, or a part that another file
// has. Used by the targets `model`, `native` and `onnx_file`.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/artifact/onnx_schema.h"
#include "engines/native/operators/tables.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

namespace schema = sidecall::schema;

constexpr int kMaxDepth = 40;
constexpr size_t kMaxBytes = 4096;
constexpr std::array<std::string_view, 10> kWords = {
    "location",          "offset", "length", "w.bin",       "sub/../w.bin", "out",
    "sidecall.contract", "64",     "x",      "TreeEnsemble"};
constexpr std::array<uint64_t, 10> kNumbers = {
    0, 1, 2, 8, 64, 127, 128, INT32_MAX, UINT64_C(1) << 31, UINT64_MAX};

struct Node {
  uint32_t number = 0;
  uint8_t wire = schema::kVarint;
  uint64_t value = 0;
  std::string bytes;  // of a number of fixed size, or of a payload that is not a message
  bool is_message = false;
  schema::Message type = schema::ModelProto;
  std::vector<Node> fields;
};

const schema::Field* field_of(schema::Message type, uint64_t number) {
  if (number >= schema::kNumNumbers) return nullptr;
  const schema::Field& field = schema::kFields[type][number];
  return field.kind == schema::kUnknown ? nullptr : &field;
}

bool read_number(std::string_view* rest, uint64_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64 && !rest->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest->front());
    rest->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool read_message(std::string_view rest, schema::Message type, int depth,
                  std::vector<Node>* fields);

bool read_field(std::string_view* rest, schema::Message type, int depth, Node* node) {
  uint64_t tag = 0;
  if (!read_number(rest, &tag) || tag > UINT32_MAX) return false;
  node->number = static_cast<uint32_t>(tag >> 3);
  node->wire = tag & 7;
  if (node->wire == schema::kVarint) return read_number(rest, &node->value);
  uint64_t length = node->wire == schema::kFixed32 ? 4 : 8;
  if (node->wire == schema::kLength && !read_number(rest, &length)) return false;
  if (length > rest->size()) return false;
  node->bytes = rest->substr(0, length);
  rest->remove_prefix(length);
  const schema::Field* const field = field_of(type, node->number);
  if (node->wire != schema::kLength || field == nullptr || field->kind != schema::kMessage)
    return node->wire == schema::kLength || node->wire == schema::kFixed32 ||
           node->wire == schema::kFixed64;
  node->type = static_cast<schema::Message>(field->detail);
  node->is_message = read_message(node->bytes, node->type, depth + 1, &node->fields);
  return true;
}

bool read_message(std::string_view rest, schema::Message type, int depth,
                  std::vector<Node>* fields) {
  if (depth > kMaxDepth) return false;
  while (!rest.empty()) {
    fields->emplace_back();
    if (!read_field(&rest, type, depth, &fields->back())) return false;
  }
  return true;
}

void write_number(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}

std::string write_message(const std::vector<Node>& fields) {
  std::string out;
  for (const Node& node : fields) {
    write_number(uint64_t{node.number} << 3 | node.wire, &out);
    const std::string payload = node.is_message ? write_message(node.fields) : node.bytes;
    if (node.wire == schema::kVarint) write_number(node.value, &out);
    if (node.wire == schema::kLength) write_number(payload.size(), &out);
    if (node.wire != schema::kVarint) out += payload;
  }
  return out;
}

// Numbers of fields in onnx.proto.
constexpr uint32_t kNodeInput = 1, kNodeOutput = 2, kNodeOperator = 4, kNodeDomain = 7;
constexpr uint32_t kElementType = 1;               // of TypeProto.Tensor
constexpr uint32_t kTensorType = 2, kRawData = 9;  // of TensorProto

struct ElementType {
  uint64_t number;
  size_t bytes;
};
constexpr std::array<ElementType, 6> kElementTypes = {
    {{1, 4}, {11, 8}, {6, 4}, {7, 8}, {9, 1}, {8, 0}}};

std::vector<const sidecall::native::OperatorEntry*> find_operators() {
  namespace native = sidecall::native;
  std::vector<const native::OperatorEntry*> all;
  for (const auto& table :
       {native::axis_operators, native::distance_operators, native::elementwise_operators,
        native::feature_operators, native::function_operators, native::gather_operators,
        native::layout_operators, native::lookup_operators, native::matrix_operators,
        native::rearrange_operators, native::reduction_operators, native::svm_operators,
        native::tree_operators}) {
    for (const native::OperatorEntry& entry : table()) all.push_back(&entry);
  }
  return all;
}

Node make_text(uint32_t number, std::string_view text) {
  Node node;
  node.number = number;
  node.wire = schema::kLength;
  node.bytes = text;
  return node;
}

bool is_operand(const Node& field) {
  return field.number == kNodeInput || field.number == kNodeOutput;
}

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  bool chance(size_t one_in) { return below(one_in) == 0; }

  void change(std::vector<Node>* model) {
    collect(model, schema::ModelProto);
    if (chance(16)) change_operator();
    else if (chance(16)) change_type();
    else change_field();
  }

  // Puts a message of another model in the place of one of the same type. A node keeps its inputs
  // and outputs.
  void transplant(std::vector<Node>* model, std::vector<Node>* other) {
    collect(model, schema::ModelProto);
    const std::vector<List> own = std::exchange(lists_, {});
    collect(other, schema::ModelProto);
    const auto [source, type] = lists_[below(lists_.size())];
    std::vector<std::vector<Node>*> places;
    for (const auto& [fields, each] : own) {
      if (each == type) places.push_back(fields);
    }
    if (places.empty()) return;
    std::vector<Node>& place = *places[below(places.size())];
    std::vector<Node> fields;
    if (type == schema::NodeProto)
      std::copy_if(place.begin(), place.end(), std::back_inserter(fields), is_operand);
    for (const Node& field : *source) {
      if (type != schema::NodeProto || !is_operand(field)) fields.push_back(field);
    }
    place = std::move(fields);
  }

 private:
  using List = std::pair<std::vector<Node>*, schema::Message>;

  size_t below(size_t limit) { return static_cast<size_t>(random_()) % limit; }

  // Gives a node one of the operators that the native engine has.
  void change_operator() {
    static const auto operators = find_operators();
    std::vector<std::vector<Node>*> nodes;
    for (const auto& [fields, type] : lists_) {
      if (type == schema::NodeProto) nodes.push_back(fields);
    }
    if (nodes.empty()) return;
    std::vector<Node>& node = *nodes[below(nodes.size())];
    const auto names_operator = [](const Node& field) {
      return field.number == kNodeOperator || field.number == kNodeDomain;
    };
    node.erase(std::remove_if(node.begin(), node.end(), names_operator), node.end());
    const sidecall::native::OperatorEntry& entry = *operators[below(operators.size())];
    node.push_back(make_text(kNodeOperator, entry.op));
    node.push_back(make_text(kNodeDomain, entry.domain));
  }

  // Gives all tensors of one type another one, and their data the new size.
  void change_type() {
    const ElementType from = kElementTypes[below(kElementTypes.size())];
    const ElementType to = kElementTypes[below(kElementTypes.size())];
    for (const auto& [fields, type] : lists_) {
      const uint32_t number = type == schema::TensorProto ? kTensorType : kElementType;
      if (type != schema::TensorProto && type != schema::TypeProto_Tensor) continue;
      bool is_changed = false;
      for (Node& field : *fields) {
        if (field.number != number || field.value != from.number) continue;
        field.value = to.number;
        is_changed = true;
      }
      for (Node& field : *fields) {
        if (!is_changed || type != schema::TensorProto || field.number != kRawData) continue;
        const size_t count = from.bytes == 0 ? 0 : field.bytes.size() / from.bytes;
        field.bytes.resize(std::min(count * to.bytes, kMaxBytes), 1);
      }
    }
  }

  void change_field() {
    auto [fields, type] = lists_[below(lists_.size())];
    const size_t what = fields->empty() ? 0 : below(10);
    const size_t at = fields->empty() ? 0 : below(fields->size());
    if (what <= 2) {
      fields->insert(fields->begin() + static_cast<ptrdiff_t>(at), make(type));
    } else if (what == 3) {
      fields->erase(fields->begin() + static_cast<ptrdiff_t>(at));
    } else if (what == 4) {
      const Node copy = (*fields)[at];
      fields->insert(fields->begin() + static_cast<ptrdiff_t>(below(fields->size())), copy);
    } else if (what == 5) {
      std::swap((*fields)[at], (*fields)[below(fields->size())]);
    } else {
      change_value(type, &(*fields)[at]);
    }
  }

  // Collects the fields of this message and of all messages inside it.
  void collect(std::vector<Node>* fields, schema::Message type) {
    lists_.emplace_back(fields, type);
    for (Node& node : *fields) {
      if (node.is_message) collect(&node.fields, node.type);
    }
  }

  // Makes a field that a message of this type may have, or rarely an unknown one. A field that is a
  // message is a copy of another message of the model, or empty.
  Node make(schema::Message type) {
    Node node;
    const schema::Field* field = nullptr;
    while (field == nullptr) {
      node.number = static_cast<uint32_t>(below(schema::kNumNumbers));
      field = chance(500) ? &schema::kFields[type][0] : field_of(type, node.number);
    }
    node.wire = field->wire;
    node.value = kNumbers[below(kNumbers.size())];
    if (node.wire == schema::kFixed32) node.bytes.resize(4);
    if (node.wire == schema::kFixed64) node.bytes.resize(8);
    if (field->is_packable && chance(2)) node.wire = schema::kLength;
    if (field->kind == schema::kMessage) {
      node.is_message = true;
      node.type = static_cast<schema::Message>(field->detail);
      for (const auto& [fields, other] : lists_) {
        if (other == node.type && chance(2)) node.fields = *fields;
      }
    } else if (node.wire == schema::kLength && !field->is_packable) {
      node.bytes = kWords[below(kWords.size())];
    }
    return node;
  }

  void change_value(schema::Message type, Node* node) {
    if (chance(40)) node->wire = static_cast<uint8_t>(below(6));
    if (chance(40)) node->number = static_cast<uint32_t>(below(schema::kNumNumbers));
    if (node->is_message) {
      node->fields.push_back(make(node->type));
    } else if (node->wire == schema::kVarint) {
      node->value = chance(2) ? kNumbers[below(kNumbers.size())] : node->value + below(3) - 1;
    } else {
      mutate(&node->bytes);
      const schema::Field* const field = field_of(type, node->number);
      if (node->wire == schema::kFixed32) node->bytes.resize(4);
      if (node->wire == schema::kFixed64) node->bytes.resize(8);
      if (field != nullptr && field->kind == schema::kString && chance(3))
        node->bytes = kWords[below(kWords.size())];
    }
  }

  static void mutate(std::string* text) {
    const size_t size = text->size();
    text->resize(std::min(kMaxBytes, size + 32));
    text->resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text->data()),
                                  std::min(size, text->size()), text->size()));
  }

  std::minstd_rand random_;
  std::vector<List> lists_;
};

size_t write_to(const std::vector<Node>& model, uint8_t* data, size_t max_size) {
  const std::string out = write_message(model);
  if (out.size() > max_size) return 0;
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  Mutator mutator(seed);
  std::vector<Node> model;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (mutator.chance(16) || !read_message(bytes, schema::ModelProto, 0, &model))
    return LLVMFuzzerMutate(data, size, max_size);
  mutator.change(&model);
  const size_t written = write_to(model, data, max_size);
  return written > 0 ? written : LLVMFuzzerMutate(data, size, max_size);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size,
                                            const uint8_t* second, size_t second_size, uint8_t* out,
                                            size_t max_size, unsigned int seed) {
  std::vector<Node> model, other;
  const auto read = [](const uint8_t* data, size_t size, std::vector<Node>* fields) {
    return read_message({reinterpret_cast<const char*>(data), size}, schema::ModelProto, 0, fields);
  };
  if (!read(first, first_size, &model) || !read(second, second_size, &other)) return 0;
  Mutator(seed).transplant(&model, &other);
  return write_to(model, out, max_size);
}
