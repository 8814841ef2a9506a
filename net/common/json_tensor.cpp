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
#include "base/json/json_problem.h"
#include "base/json/json_text.h"
#include "base/text/number.h"
#include "keys.h"
#include "tensor_data.h"

namespace sidecall::net {
namespace {

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

// Names the type of a value, as the text after "got" in a message.
const char* kind_of(const json::Value& value) {
  if (value.IsArray()) return "a list";
  if (value.IsString()) return "a string";
  if (value.IsNumber()) return "a number";
  return value.IsNull() ? "null" : "true or false";
}

// Reads the elements of a flat list, or of lists that are nested as the shape says, in order.
class JsonData {
 public:
  JsonData(const json::Value& data, int64_t count, ReceivedTensor* to, const std::string& what,
           const DataRules& rules)
      : count_(count), to_(to), what_(what), on_null_(rules.on_null) {
    const bool is_flat = data.IsArray() && (data.Empty() || !data[0].IsArray());
    if (rules.may_wrap_one && count == 1) add_element(unwrap(data));
    else if (is_flat) add_flat(data);
    else add_nested(data, 0);
    to->data = to->own.data();
    to->bytes = to->own.size();
    if (to->dtype == SIDECALL_DTYPE_STRING) to->offsets.push_back(size());
  }

 private:
  int64_t size() const { return static_cast<int64_t>(to_->own.size()); }

  static const json::Value& unwrap(const json::Value& data) {
    const json::Value* inner = &data;
    for (size_t i = 0; i < kMaxRank && inner->IsArray() && inner->Size() == 1; ++i)
      inner = &(*inner)[0];
    return *inner;
  }

  void add_flat(const json::Value& data) {
    if (static_cast<int64_t>(data.Size()) != count_)
      broken(std::to_string(count_) + " elements in the data of " + what_ + ", as its shape says",
             std::to_string(data.Size()));
    for (const json::Value& each : data.GetArray()) add_element(each);
  }

  void add_nested(const json::Value& value, size_t level) {
    const bool is_element = level == to_->dims.size();
    if (is_element && !value.IsArray()) return add_element(value);
    if (is_element || !value.IsArray() || static_cast<int64_t>(value.Size()) != to_->dims[level])
      broken("data of " + what_ + " in one flat list, or in lists nested as its shape",
             "lists of other lengths at level " + std::to_string(level + 1));
    for (const json::Value& each : value.GetArray()) add_nested(each, level + 1);
  }

  void add_element(const json::Value& value) {
    ++found_;
    if (value.IsNull()) return add_null(value);
    switch (to_->dtype) {
      case SIDECALL_DTYPE_STRING:
        return add_string(value);
      case SIDECALL_DTYPE_BOOL:
        if (value.IsBool()) return add_bytes(static_cast<uint8_t>(value.GetBool() ? 1 : 0));
        return add_integer<uint8_t>(value, 1);
      case SIDECALL_DTYPE_FLOAT64:
        return add_bytes(real(value));
      case SIDECALL_DTYPE_FLOAT32:
        return add_float(value);
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

  [[noreturn]] void wrong_element(const json::Value& value) const {
    broken(std::string("elements of ") + what_ + " of type " + dtype_name(to_->dtype),
           value.IsNumber() && to_->dtype != SIDECALL_DTYPE_STRING ? "a number that it cannot hold"
                                                                   : kind_of(value));
  }

  void add_null(const json::Value& value) {
    const int64_t number = on_null_(*to_, found_ - 1);
    switch (to_->dtype) {
      case SIDECALL_DTYPE_STRING:
        return add_text(SIDECALL_MISSING_STRING);
      case SIDECALL_DTYPE_FLOAT64:
        return add_bytes(std::numeric_limits<double>::quiet_NaN());
      case SIDECALL_DTYPE_FLOAT32:
        return add_bytes(std::numeric_limits<float>::quiet_NaN());
      case SIDECALL_DTYPE_INT64:
        return add_bytes(number);
      default:
        wrong_element(value);
    }
  }

  double real(const json::Value& value) const {
    if (!value.IsNumber()) wrong_element(value);
    return value.GetDouble();
  }

  void add_float(const json::Value& value) {
    const auto narrow = static_cast<float>(real(value));
    if (std::isinf(narrow)) wrong_element(value);
    add_bytes(narrow);
  }

  template <typename Integer>
  void add_integer(const json::Value& value,
                   Integer largest = std::numeric_limits<Integer>::max()) {
    if (value.IsUint64() && value.GetUint64() <= static_cast<uint64_t>(largest))
      return add_bytes(static_cast<Integer>(value.GetUint64()));
    if (!value.IsInt64() || !std::is_signed_v<Integer> || value.GetInt64() >= 0 ||
        value.GetInt64() < int64_t{std::numeric_limits<Integer>::min()})
      wrong_element(value);
    add_bytes(static_cast<Integer>(value.GetInt64()));
  }

  void add_string(const json::Value& value) {
    if (!value.IsString()) wrong_element(value);
    add_text({value.GetString(), value.GetStringLength()});
  }

  void add_text(std::string_view text) {
    to_->offsets.push_back(size());
    to_->own.insert(to_->own.end(), text.begin(), text.end());
  }

  const int64_t count_;
  int64_t found_ = 0;
  ReceivedTensor* const to_;
  const std::string& what_;
  const OnNull& on_null_;
};

// Removes the next `size` bytes of `binary` and returns them.
std::string_view take_binary(const json::Value& size, const std::string& what,
                             std::string_view* binary) {
  if (!size.IsUint64()) broken("a number of bytes as 'binary_data_size' of " + what, "no number");
  if (size.GetUint64() > binary->size())
    broken(std::to_string(size.GetUint64()) + " bytes of " + what + " after the JSON",
           std::to_string(binary->size()));
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
  const rapidjson::ParseResult result = json::parse_exactly(&stream, document);
  if (result.IsError())
    broken("JSON", found_instead_of_json(text, result.Code(), result.Offset()) + " (byte " +
                       std::to_string(result.Offset()) + ")");
  if (!document->IsObject()) broken("a JSON object", kind_of(*document));
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
    broken("a list of at most 64 dimensions as the 'shape' of " + what,
           shape == nullptr ? "none" : "another value");
  Dims dims;
  for (const json::Value& each : shape->GetArray()) {
    if (!each.IsInt64()) broken("integers as dimensions of " + what, "other values");
    dims.push_back(each.GetInt64());
  }
  return dims;
}

void read_json_tensor(const json::Value& value, const std::string& what, std::string_view* binary,
                      const DataRules& rules, ReceivedTensor* tensor) {
  const json::Value* const size = binary_size(value);
  const json::Value* data = find(value, "data");
  if (data != nullptr && data->IsNull()) data = nullptr;
  std::string_view bytes;
  if (size != nullptr) bytes = take_binary(*size, what, binary);
  tensor->dtype = read_datatype(text_at(value, "datatype"), what);
  tensor->dims = read_shape(value, what);
  if (size != nullptr && data != nullptr)
    broken("either 'data' or the parameter 'binary_data_size' of " + what, "both");
  if (size != nullptr) return set_binary(bytes, what, tensor);
  if (data == nullptr) broken("data of " + what, "none");
  JsonData(*data, count_elements(*tensor, what), tensor, what, rules);
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

bool append_json_data(const sidecall_net_tensor& tensor, bool has_nulls, std::string* out,
                      const char** expected) {
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
        if (has_nulls && std::isnan(value)) {
          out->append("null");
          return;
        }
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
