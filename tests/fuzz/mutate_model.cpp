// Changes one field of a model file by the schema of ONNX, and writes the right lengths. So most
// files stay readable. Used by the targets `model`, `native` and `onnx_file`.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/onnx_schema.h"

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

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  bool chance(size_t one_in) { return below(one_in) == 0; }

  void change(std::vector<Node>* model) {
    collect(model, schema::ModelProto);
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

 private:
  size_t below(size_t limit) { return static_cast<size_t>(random_()) % limit; }

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
  std::vector<std::pair<std::vector<Node>*, schema::Message>> lists_;
};

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  Mutator mutator(seed);
  std::vector<Node> model;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (mutator.chance(16) || !read_message(bytes, schema::ModelProto, 0, &model))
    return LLVMFuzzerMutate(data, size, max_size);
  mutator.change(&model);
  const std::string out = write_message(model);
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
