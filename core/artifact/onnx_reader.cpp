// The strict reader of ONNX files; see onnx_reader.h.
#include "onnx_reader.h"

#include <algorithm>
#include <array>

#include "base/text/utf8.h"
#include "core/error.h"
#include "onnx_schema.h"
#include "protobuf.h"

namespace sidecall {
namespace {

using schema::Field;
using schema::kFields;

constexpr int kMaxDepth = 100;   // protobuf's own limit
constexpr uint32_t kOpType = 4;  // of NodeProto
constexpr uint32_t kExternalData = 13, kDataLocation = 14;

class OnnxReader {
 public:
  OnnxReader(std::string_view bytes, const std::string& label)
      : begin_(bytes.data()), end_(bytes.data() + bytes.size()), label_(label) {}

  OnnxContent read() {
    read_message(schema::ModelProto, begin_, end_, 0);
    return std::move(content_);
  }

 private:
  void read_message(schema::Message type, const char* at, const char* end, int depth);
  void read_inner(schema::Message type, const char* length_at, const char* begin, const char* end,
                  int depth);
  const char* read_number(const Field& field, const char* at, const char* end) const;
  const char* read_packed(const Field& field, const char* at, const char* end) const;
  uint64_t read_varint(const char** at, const char* end) const;
  const char* read_length(const char** at, const char* end) const;
  void add_external(const char* begin, const char* end, int depth);
  [[noreturn]] void fail(const char* at, const std::string& problem) const;
  std::string place_of(const char* wanted) const;
  size_t offset_of(const char* at) const { return static_cast<size_t>(at - begin_); }

  const char* begin_;
  const char* end_;
  const std::string& label_;
  OnnxContent content_;
};

// The value of an entry may be any bytes: contract_json.cpp reports a contract that is not UTF-8,
// and file names need not be UTF-8.
bool is_any_text(schema::Message type, uint32_t number) {
  return type == schema::StringStringEntryProto && number == 2;
}

std::string quoted(const Field& field) { return std::string("'") + field.name + "'"; }

uint8_t byte_at(const char* at) { return static_cast<uint8_t>(*at); }

void OnnxReader::read_message(schema::Message type, const char* at, const char* end, int depth) {
  if (depth > kMaxDepth)
    fail(at, "messages nested more than " + std::to_string(kMaxDepth) + " levels deep");
  if (type == schema::NodeProto) ++content_.num_nodes;
  const char* const begin = at;
  uint32_t seen = 0;
  bool names_file = false;
  while (at < end) {
    const char* const start = at;
    uint32_t tag = byte_at(at++);
    if (tag >= 0x80) {
      // Two bytes are enough for every field number of ONNX. A second byte of 0 would be a longer
      // form of a one-byte tag.
      if (at == end || byte_at(at) == 0 || byte_at(at) >= 0x80) fail(start, "an unknown field");
      tag = (tag & 0x7f) | static_cast<uint32_t>(byte_at(at++)) << 7;
    }
    const uint32_t number = tag >> 3;
    if (number >= schema::kNumNumbers || kFields[type][number].kind == schema::kUnknown) {
      fail(start, "an unknown field (" + std::to_string(number) + ")");
    }
    const Field& field = kFields[type][number];
    const bool is_packed = field.is_packable && (tag & 7) == schema::kLength;
    if ((tag & 7) != field.wire && !is_packed)
      fail(start, quoted(field) + " with the wrong wire type");
    if ((seen & field.once) != 0)
      fail(start, quoted(field) +
                      (field.once == 1 ? " or another member of the same oneof twice" : " twice"));
    seen |= field.once;
    if (is_packed) {
      at = read_packed(field, at, end);
      continue;
    }
    switch (field.wire) {
      case schema::kVarint:
        at = read_number(field, at, end);
        // A fast path: repeated numbers without packing are most of the bytes of a tree model.
        while (field.is_packable && tag < 0x80 && end - at >= 2 && byte_at(at) == tag) {
          at = byte_at(at + 1) < 0x80 ? at + 2 : read_number(field, at + 1, end);
        }
        break;
      case schema::kFixed32:
        if (end - at < 4) fail(start, "a truncated message");
        at += 4;
        while (field.is_packable && tag < 0x80 && end - at >= 5 && byte_at(at) == tag) at += 5;
        break;
      case schema::kFixed64:
        if (end - at < 8) fail(start, "a truncated message");
        at += 8;
        break;
      default: {
        const char* const length_at = at;
        const char* const stop = read_length(&at, end);
        if (field.kind == schema::kMessage) {
          read_inner(static_cast<schema::Message>(field.detail), length_at, at, stop, depth);
        } else if (field.kind == schema::kString && !is_any_text(type, number) &&
                   !is_utf8({at, static_cast<size_t>(stop - at)})) {
          fail(start, quoted(field) + " that is not UTF-8");
        }
        if (type == schema::NodeProto && number == kOpType &&
            is_tree_operator({at, static_cast<size_t>(stop - at)})) {
          ++content_.num_tree_nodes;
        }
        at = stop;
      }
    }
    names_file |=
        type == schema::TensorProto && (number == kExternalData || number == kDataLocation);
  }
  if (names_file) add_external(begin, end, depth);
}

void OnnxReader::read_inner(schema::Message type, const char* length_at, const char* begin,
                            const char* end, int depth) {
  const size_t before = content_.tensors.size();
  read_message(type, begin, end, depth + 1);
  if (content_.tensors.size() == before) return;
  const int64_t tensor = type == schema::TensorProto ? static_cast<int64_t>(before) : -1;
  content_.envelopes.push_back({offset_of(length_at), offset_of(begin), offset_of(end), tensor});
}

const char* OnnxReader::read_number(const Field& field, const char* at, const char* end) const {
  const char* const start = at;
  const uint64_t value = read_varint(&at, end);
  const auto number = static_cast<int64_t>(value);
  if (field.kind == schema::kInt32 && number != static_cast<int32_t>(number)) {
    fail(start, "a number of more than 32 bits for " + quoted(field));
  }
  if (field.kind == schema::kEnum && value > field.detail)
    fail(start, "an unknown value of " + quoted(field));
  return at;
}

const char* OnnxReader::read_packed(const Field& field, const char* at, const char* end) const {
  const char* const start = at;
  const char* const stop = read_length(&at, end);
  if (field.wire == schema::kVarint) {
    while (at < stop)
      at =
          byte_at(at) < 0x80 && field.kind != schema::kEnum ? at + 1 : read_number(field, at, stop);
  } else if ((stop - at) % (field.wire == schema::kFixed32 ? 4 : 8) != 0) {
    fail(start, "an incomplete number in " + quoted(field));
  }
  return stop;
}

// Reads a number of at most 64 bits, which must be in its shortest form. Moves `at` past it.
uint64_t OnnxReader::read_varint(const char** at, const char* end) const {
  const char* const start = *at;
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (*at == end) fail(start, "a truncated message");
    const uint8_t byte = byte_at((*at)++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    if (byte == 0 && shift > 0) fail(start, "a number that is not in its shortest form");
    if (shift == 63 && byte > 1) break;
    return value;
  }
  fail(start, "a number of more than 64 bits");
}

// Reads a length. Moves `at` past the length and returns the end of the payload.
const char* OnnxReader::read_length(const char** at, const char* end) const {
  const char* const start = *at;
  const uint64_t length = read_varint(at, end);
  if (length > static_cast<uint64_t>(end - *at)) fail(start, "a truncated message");
  return *at + length;
}

void OnnxReader::add_external(const char* begin, const char* end, int depth) {
  ExternalTensor tensor;
  tensor.begin = offset_of(begin);
  tensor.end = offset_of(end);
  // Depth 2 is that of the main graph's initializers; those of training_info lie deeper.
  tensor.is_in_main_graph = depth == 2;
  bool has_entries = false;
  const std::array<std::pair<std::string_view, std::string*>, 3> targets = {
      {{"location", &tensor.location}, {"offset", &tensor.offset}, {"length", &tensor.length}}};
  std::array<bool, 3> given{};
  protobuf::Reader reader({begin, tensor.end - tensor.begin});
  for (protobuf::Field field; reader.next(&field);) {
    if (field.number == 1 && !field.is_bytes)
      tensor.dims.push_back(static_cast<int64_t>(field.value));
    if (field.number == 1 && field.is_bytes) {
      protobuf::Reader packed(field.bytes);
      for (uint64_t value = 0; packed.next_varint(&value);)
        tensor.dims.push_back(static_cast<int64_t>(value));
    }
    if (field.number == 2) tensor.dtype = static_cast<int32_t>(field.value);
    if (field.number == 8) tensor.name = field.bytes;
    if (field.number == kDataLocation) tensor.is_flagged = field.value == 1;
    if (field.number != kExternalData) continue;
    has_entries = true;
    const auto [key, value] = protobuf::read_entry(field.bytes);
    // Other keys, such as a checksum, are not used and not passed on.
    for (size_t i = 0; i < targets.size(); ++i) {
      if (key != targets[i].first) continue;
      if (given[i]) fail(field.bytes.data(), "'" + std::string(key) + "' of external data twice");
      given[i] = true;
      *targets[i].second = value;
    }
  }
  if (has_entries || tensor.is_flagged) content_.tensors.push_back(std::move(tensor));
}

void OnnxReader::fail(const char* at, const std::string& problem) const {
  throw Error(SIDECALL_FILE_INVALID,
              "file '" + label_ + "': not an ONNX model, or only a part of one: " + problem +
                  " at byte " + std::to_string(offset_of(at)) + place_of(at));
}

// Returns a text such as " in graph.node[3].attribute[0]": the path of the innermost message that
// contains the position `wanted`. Everything before that position has been read and is valid.
std::string OnnxReader::place_of(const char* wanted) const {
  std::string path;
  schema::Message type = schema::ModelProto;
  protobuf::Reader reader({begin_, offset_of(end_)});
  std::array<size_t, schema::kNumNumbers> counts{};
  try {
    for (protobuf::Field field; reader.next(&field);) {
      if (field.number >= schema::kNumNumbers) break;
      const Field& rule = kFields[type][field.number];
      const size_t index = counts[field.number]++;
      if (field.is_bytes && field.bytes.data() > wanted) break;
      if (!field.is_bytes || rule.kind != schema::kMessage ||
          wanted > field.bytes.data() + field.bytes.size())
        continue;
      path += (path.empty() ? " in " : ".") + std::string(rule.name) +
              (rule.once == 0 ? "[" + std::to_string(index) + "]" : "");
      type = static_cast<schema::Message>(rule.detail);
      reader = protobuf::Reader(field.bytes);
      counts.fill(0);
    }
  } catch (const Error&) {
    // The bytes after `wanted` cannot be parsed. The path so far is right.
  }
  return path;
}

}  // namespace

bool is_tree_operator(std::string_view op_type) {
  constexpr std::array<std::string_view, 5> kOperators = {
      "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "ArgMax", "Softmax"};
  return std::find(kOperators.begin(), kOperators.end(), op_type) != kOperators.end();
}

OnnxContent read_onnx(std::string_view bytes, const std::string& label) {
  return OnnxReader(bytes, label).read();
}

}  // namespace sidecall
