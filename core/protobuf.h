// Reads protobuf's wire format field by field, without a schema; used by onnx_file.cpp and first_readers.cpp.
#pragma once

#include <cstdint>
#include <string_view>

namespace sidecall::protobuf {

struct Malformed {};

// One field of a message: a number, and its payload where it is length-delimited, or its value.
struct Field {
  uint64_t number;
  bool is_bytes;
  std::string_view bytes;
  uint64_t value;
};

class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}

  bool next(Field* field) {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    // Protobuf drops the bits above: what is one field here would be another one there.
    if (tag > UINT32_MAX) throw Malformed{};
    *field = {tag >> 3, false, {}, 0};
    if (field->number == 0) throw Malformed{};
    switch (tag & 7) {
      case 0:
        field->value = varint();
        return true;
      case 1:
        take(8);
        return true;
      case 2:
        field->is_bytes = true;
        field->bytes = take(varint());
        return true;
      case 5:
        take(4);
        return true;
      default:
        throw Malformed{};
    }
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) throw Malformed{};
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw Malformed{};
  }

  std::string_view take(uint64_t length) {
    if (length > rest_.size()) throw Malformed{};
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  std::string_view rest_;
};

}  // namespace sidecall::protobuf
