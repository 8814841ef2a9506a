// The messages and fields that an ONNX file may have, as tables; used by onnx_reader.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sidecall::schema {

// tools/onnx_fields.py writes onnx_fields.inc, with one of these lines for each message and field:
//   ONNX_MESSAGE(message)
//   ONNX_FIELD(message, number, name, count, oneof, kind)           a scalar, a string or bytes
//   ONNX_ENUM_FIELD(message, number, name, count, oneof, largest)   an enum of 0 to `largest`
//   ONNX_MESSAGE_FIELD(message, number, name, count, oneof, inner)  a message of type `inner`
enum Message : uint8_t {
#define ONNX_MESSAGE(message) message,
#define ONNX_FIELD(...)
#define ONNX_ENUM_FIELD(...)
#define ONNX_MESSAGE_FIELD(...)
#include "core/artifact/onnx_fields.inc"
#undef ONNX_MESSAGE
#undef ONNX_FIELD
#undef ONNX_ENUM_FIELD
#undef ONNX_MESSAGE_FIELD
  kNumMessages
};

enum Kind : uint8_t {
  kUnknown,
  kInt32,
  kInt64,
  kUint64,
  kEnum,
  kFloat,
  kDouble,
  kString,
  kBytes,
  kMessage
};
enum Count : uint8_t { kOne, kMany };

// Protobuf's wire types. Groups, 3 and 4, do not occur in ONNX.
constexpr uint8_t kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5;

constexpr uint8_t wire_of(Kind kind) {
  return kind == kFloat    ? kFixed32
         : kind == kDouble ? kFixed64
         : kind >= kString ? kLength
                           : kVarint;
}

struct Field {
  Kind kind = kUnknown;
  uint8_t wire = 0;
  bool is_packable = false;  // repeated numbers may also stand in one length-delimited payload
  uint8_t detail = 0;        // the largest value of an enum, or the type of an inner message
  // The bit that marks a singular field as seen; the members of a oneof share bit 0.
  uint32_t once = 0;
  const char* name = nullptr;
};

constexpr uint32_t kNumNumbers = 32;
using Fields = std::array<Field, kNumNumbers>;

constexpr Field make_field(uint32_t number, const char* name, Count count, int oneof, Kind kind,
                           uint8_t detail) {
  const uint32_t once = count == kMany ? 0 : oneof != 0 ? 1 : uint32_t{1} << number;
  return {kind, wire_of(kind), count == kMany && kind < kString, detail, once, name};
}

constexpr std::array<Fields, kNumMessages> make_fields() {
  std::array<Fields, kNumMessages> all{};
#define ONNX_MESSAGE(message)
#define ONNX_FIELD(message, number, name, count, oneof, kind)     \
  static_assert(number > 0 && number < kNumNumbers && oneof <= 1, \
                "onnx_schema.h has no room for this field");      \
  all[message][number] = make_field(number, #name, count, oneof, kind, 0);
#define ONNX_ENUM_FIELD(message, number, name, count, oneof, largest) \
  static_assert(number > 0 && number < kNumNumbers && oneof <= 1,     \
                "onnx_schema.h has no room for this field");          \
  all[message][number] = make_field(number, #name, count, oneof, kEnum, largest);
#define ONNX_MESSAGE_FIELD(message, number, name, count, oneof, inner) \
  static_assert(number > 0 && number < kNumNumbers && oneof <= 1,      \
                "onnx_schema.h has no room for this field");           \
  all[message][number] = make_field(number, #name, count, oneof, kMessage, inner);
#include "core/artifact/onnx_fields.inc"
#undef ONNX_MESSAGE
#undef ONNX_FIELD
#undef ONNX_ENUM_FIELD
#undef ONNX_MESSAGE_FIELD
  return all;
}

inline constexpr std::array<Fields, kNumMessages> kFields = make_fields();

}  // namespace sidecall::schema
