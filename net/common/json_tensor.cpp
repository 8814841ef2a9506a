// Reads and writes tensors as JSON; see json_tensor.h.
#include "json_tensor.h"

#include <rapidjson/encodedstream.h>
#include <rapidjson/memorystream.h>
#include <sidecall/sidecall.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/dtype.h"
#include "base/json_text.h"
#include "base/number.h"
#include "keys.h"
#include "tensor_data.h"

namespace sidecall::net {
namespace {

constexpr int kMaxNesting = 64;

std::string_view string_at(const sidecall_net_tensor& tensor, int64_t i) {
  const int64_t begin = tensor.offsets[i];
  return {static_cast<const char*>(tensor.data) + begin,
          static_cast<size_t>(tensor.offsets[i + 1] - begin)};
}

// Calls visit(value) for each element of a numeric tensor; the value has the type of the elements.
template <typename Visit>
bool visit_numbers(const sidecall_net_tensor& tensor, Visit visit) {
  const auto all = [&](auto type) {
    using Number = decltype(type);
    const int64_t count = count_elements(tensor);
    for (int64_t i = 0; i < count; ++i) {
      Number value;
      std::memcpy(&value, static_cast<const char*>(tensor.data) + i * int64_t{sizeof value},
                  sizeof value);
      visit(value);
    }
    return true;
  };
  switch (tensor.dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return all(float{});
    case SIDECALL_DTYPE_FLOAT64:
      return all(double{});
    case SIDECALL_DTYPE_INT8:
      return all(int8_t{});
    case SIDECALL_DTYPE_INT16:
      return all(int16_t{});
    case SIDECALL_DTYPE_INT32:
      return all(int32_t{});
    case SIDECALL_DTYPE_INT64:
      return all(int64_t{});
    case SIDECALL_DTYPE_UINT8:
      return all(uint8_t{});
    case SIDECALL_DTYPE_UINT16:
      return all(uint16_t{});
    case SIDECALL_DTYPE_UINT32:
      return all(uint32_t{});
    case SIDECALL_DTYPE_UINT64:
      return all(uint64_t{});
    default:
      return false;
  }
}

// The elements of nested arrays, in order.
class JsonData {
 public:
  JsonData(const json::Value& data, int64_t count, ReceivedTensor* to, const std::string& what)
      : count_(count), to_(to), what_(what) {
    add(data, 0);
    if (found_ != count) broken("as many elements as the shape of " + what + " says", "fewer");
    to->data = to->own.data();
    to->bytes = to->own.size();
    if (to->dtype == SIDECALL_DTYPE_STRING) to->offsets.push_back(size());
  }

 private:
  int64_t size() const { return static_cast<int64_t>(to_->own.size()); }

  void add(const json::Value& value, int depth) {
    if (!value.IsArray()) return add_element(value);
    if (depth >= kMaxNesting) broken("data of " + what_ + " with at most 64 levels", "more");
    for (const json::Value& each : value.GetArray()) add(each, depth + 1);
  }

  void add_element(const json::Value& value) {
    if (++found_ > count_) broken("as many elements as the shape of " + what_ + " says", "more");
    switch (to_->dtype) {
      case SIDECALL_DTYPE_STRING:
        return add_string(value);
      case SIDECALL_DTYPE_BOOL:
        if (value.IsBool()) return add_bytes(static_cast<uint8_t>(value.GetBool() ? 1 : 0));
        return add_integer<uint8_t>(value, 1);
      case SIDECALL_DTYPE_FLOAT64:
        return add_bytes(real(value));
      case SIDECALL_DTYPE_FLOAT32:
        return add_float(real(value));
      case SIDECALL_DTYPE_INT8:
        return add_integer<int8_t>(value);
      case SIDECALL_DTYPE_INT16:
        return add_integer<int16_t>(value);
      case SIDECALL_DTYPE_INT32:
        return add_integer<int32_t>(value);
      case SIDECALL_DTYPE_INT64:
        return add_integer<int64_t>(value);
      case SIDECALL_DTYPE_UINT8:
        return add_integer<uint8_t>(value);
      case SIDECALL_DTYPE_UINT16:
        return add_integer<uint16_t>(value);
      case SIDECALL_DTYPE_UINT32:
        return add_integer<uint32_t>(value);
      case SIDECALL_DTYPE_UINT64:
        return add_integer<uint64_t>(value);
      default:
        broken("data of " + what_ + " in binary", "JSON, which does not have its type");
    }
  }

  template <typename Number>
  void add_bytes(Number number) {
    const auto* const bytes = reinterpret_cast<const char*>(&number);
    to_->own.insert(to_->own.end(), bytes, bytes + sizeof number);
  }

  [[noreturn]] void wrong_element() const {
    broken(std::string("elements of ") + what_ + " of type " + dtype_name(to_->dtype),
           "other values");
  }

  double real(const json::Value& value) const {
    if (!value.IsNumber()) wrong_element();
    return value.GetDouble();
  }

  void add_float(double number) {
    const auto narrow = static_cast<float>(number);
    if (std::isinf(narrow)) wrong_element();
    add_bytes(narrow);
  }

  template <typename Integer>
  void add_integer(const json::Value& value,
                   Integer largest = std::numeric_limits<Integer>::max()) {
    if (value.IsUint64() && value.GetUint64() <= static_cast<uint64_t>(largest))
      return add_bytes(static_cast<Integer>(value.GetUint64()));
    if (!value.IsInt64() || !std::is_signed_v<Integer> || value.GetInt64() >= 0 ||
        value.GetInt64() < int64_t{std::numeric_limits<Integer>::min()})
      wrong_element();
    add_bytes(static_cast<Integer>(value.GetInt64()));
  }

  void add_string(const json::Value& value) {
    if (!value.IsString()) wrong_element();
    to_->offsets.push_back(size());
    to_->own.insert(to_->own.end(), value.GetString(), value.GetString() + value.GetStringLength());
  }

  const int64_t count_;
  int64_t found_ = 0;
  ReceivedTensor* const to_;
  const std::string& what_;
};

// Removes the next `size` bytes of `binary` and returns them.
std::string_view take_binary(const json::Value& size, const std::string& what,
                             std::string_view* binary) {
  if (!size.IsUint64() || size.GetUint64() > binary->size())
    broken("all bytes of " + what, "fewer");
  const std::string_view bytes = binary->substr(0, size.GetUint64());
  binary->remove_prefix(size.GetUint64());
  return bytes;
}

const json::Value* binary_size(const json::Value& tensor) {
  const json::Value* const parameters = find(tensor, "parameters");
  return parameters == nullptr ? nullptr : find(*parameters, "binary_data_size");
}

}  // namespace

void parse_object(std::string_view text, json::Document* document) {
  rapidjson::MemoryStream memory(text.data(), text.size());
  rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(memory);
  if (json::parse_exactly(&stream, document).IsError() || !document->IsObject())
    broken("a JSON object", "another body");
}

const json::Value* find(const json::Value& object, const char* key) {
  if (!object.IsObject()) return nullptr;
  const auto found = object.FindMember(key);
  return found == object.MemberEnd() ? nullptr : &found->value;
}

std::string text_at(const json::Value& object, const char* key) {
  const json::Value* const value = find(object, key);
  return value != nullptr && value->IsString()
             ? std::string(value->GetString(), value->GetStringLength())
             : std::string();
}

Dims read_shape(const json::Value& tensor, const std::string& what) {
  const json::Value* const shape = find(tensor, "shape");
  if (shape == nullptr || !shape->IsArray() || shape->Size() > kMaxRank)
    broken("a shape of " + what, "none, or another value");
  Dims dims;
  for (const json::Value& each : shape->GetArray()) {
    if (!each.IsInt64()) broken("dimensions of " + what, "other values");
    dims.push_back(each.GetInt64());
  }
  return dims;
}

void read_json_tensor(const json::Value& value, const std::string& what, std::string_view* binary,
                      ReceivedTensor* tensor) {
  const json::Value* const size = binary_size(value);
  std::string_view bytes;
  if (size != nullptr) bytes = take_binary(*size, what, binary);
  tensor->dtype = read_datatype(text_at(value, "datatype"), what);
  tensor->dims = read_shape(value, what);
  if (size != nullptr) return set_binary(bytes, what, tensor);
  const json::Value* const data = find(value, "data");
  if (data == nullptr) broken("data of " + what, "none");
  JsonData(*data, count_elements(*tensor, what), tensor, what);
}

void skip_binary(const json::Value& value, const std::string& what, std::string_view* binary) {
  if (const json::Value* const size = binary_size(value)) take_binary(*size, what, binary);
}

size_t json_length_of(const std::string& header, size_t body_bytes) {
  size_t length = body_bytes;
  if (header.empty()) return length;
  const char* const end = header.data() + header.size();
  const auto read = std::from_chars(header.data(), end, length);
  if (read.ec != std::errc() || read.ptr != end || length > body_bytes)
    broken(std::string(kJsonLengthHeader) + " of at most the size of the body", "another value");
  return length;
}

void append_tensor_head(const sidecall_net_tensor& tensor, std::string* out) {
  out->append("{\"name\":");
  append_json_string(tensor.name, out);
  out->append(",\"shape\":[");
  for (int32_t i = 0; i < tensor.rank; ++i) {
    if (i > 0) out->push_back(',');
    out->append(std::to_string(tensor.dims[i]));
  }
  out->append("],\"datatype\":\"").append(datatype_of(tensor)).append("\",");
}

bool append_json_data(const sidecall_net_tensor& tensor, std::string* out, const char** expected) {
  out->push_back('[');
  const size_t begin = out->size();
  const int64_t count = count_elements(tensor);
  const auto separate = [&] {
    if (out->size() != begin) out->push_back(',');
  };
  if (tensor.dtype == SIDECALL_DTYPE_STRING) {
    for (int64_t i = 0; i < count; ++i) {
      separate();
      append_json_string(string_at(tensor, i), out);
    }
  } else if (tensor.dtype == SIDECALL_DTYPE_BOOL) {
    for (int64_t i = 0; i < count; ++i) {
      separate();
      out->append(static_cast<const unsigned char*>(tensor.data)[i] != 0 ? "true" : "false");
    }
  } else {
    bool is_finite = true;
    const bool is_number = visit_numbers(tensor, [&](auto value) {
      separate();
      if constexpr (std::is_floating_point_v<decltype(value)>) {
        is_finite = is_finite && std::isfinite(value);
        // Python reads the integer -0 as 0.
        if (value == 0 && std::signbit(value)) out->append("-0.0");
        else append_number(value, out);
      } else {
        out->append(std::to_string(value));
      }
    });
    if (!is_number || !is_finite) {
      *expected = is_number ? "finite numbers" : "a type that JSON has";
      return false;
    }
  }
  out->push_back(']');
  return true;
}

}  // namespace sidecall::net
