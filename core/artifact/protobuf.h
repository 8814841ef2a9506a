// Reads the protobuf wire format field by field, without a schema, after onnx_reader.cpp has
// checked the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace sidecall::protobuf {

// One field of a message: its number, and its payload if it is length-delimited, or else its value.
// A number of fixed length, such as a float, is in `bytes`, in little-endian order.
struct Field {
  uint64_t number;
  bool is_bytes;
  std::string_view bytes;
  uint64_t value;
};

// Throws FILE_INVALID on bytes that are not a message. This never happens for bytes that
// onnx_reader.cpp has accepted.
class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}

  bool next(Field* field) {
    if (rest_.empty()) return false;
    start_ = rest_.data();
    const uint64_t tag = varint();
    if (tag > UINT32_MAX) fail();
    *field = {tag >> 3, false, {}, 0};
    if (field->number == 0) fail();
    switch (tag & 7) {
      case 0:
        field->value = varint();
        return true;
      case 1:
        field->bytes = take(8);
        return true;
      case 2:
        field->is_bytes = true;
        field->bytes = take(varint());
        return true;
      case 5:
        field->bytes = take(4);
        return true;
      default:
        fail();
    }
  }

  // How many bytes are left.
  size_t num_left() const { return rest_.size(); }

  // The bytes of the field that next() returned, including its tag.
  std::string_view last() const { return {start_, static_cast<size_t>(rest_.data() - start_)}; }

  // After next() has returned a number that is a varint: reads the next field if it has the same
  // tag, and returns its value. Otherwise returns false and reads nothing. This is quicker than
  // next(), because repeated numbers without packing are most of the fields of a tree model.
  bool next_same(uint64_t* value) {
    if (!has_same()) return false;
    rest_.remove_prefix(1);
    *value = varint();
    return true;
  }

  // The same after a payload that is length-delimited.
  bool next_same(std::string_view* bytes) {
    if (!has_same()) return false;
    rest_.remove_prefix(1);
    *bytes = take(varint());
    return true;
  }

  // The same after a number of 4 bytes.
  bool next_same(float* value) {
    if (!has_same() || rest_.size() <= sizeof *value) return false;
    std::memcpy(value, rest_.data() + 1, sizeof *value);
    rest_.remove_prefix(1 + sizeof *value);
    return true;
  }

  // Like next(), but for a payload of packed numbers.
  bool next_varint(uint64_t* value) {
    if (rest_.empty()) return false;
    *value = varint();
    return true;
  }

 private:
  [[noreturn]] static void fail() {
    throw Error(SIDECALL_FILE_INVALID,
                "expected a protobuf message, but its fields cannot be read");
  }

  bool has_same() const {
    return !rest_.empty() && rest_.front() == *start_ && (*start_ & 0x80) == 0;
  }

  uint64_t varint() {
    if (!rest_.empty() && static_cast<uint8_t>(rest_.front()) < 0x80) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      return byte;
    }
    return long_varint();
  }

  uint64_t long_varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) fail();
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }

  std::string_view take(uint64_t length) {
    if (length > rest_.size()) fail();
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  std::string_view rest_;
  const char* start_ = nullptr;
};

// Key and value of a StringStringEntryProto.
inline std::pair<std::string_view, std::string_view> read_entry(std::string_view message) {
  std::pair<std::string_view, std::string_view> entry;
  Reader reader(message);
  for (Field field; reader.next(&field);) {
    if (field.number == 1) entry.first = field.bytes;
    if (field.number == 2) entry.second = field.bytes;
  }
  return entry;
}

}  // namespace sidecall::protobuf
