// Writes and reads messages over HTTP; see http_message.h.
#include "http_message.h"

#include <rapidjson/encodedstream.h>
#include <rapidjson/memorystream.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "answer_data.h"
#include "base/dtype.h"
#include "base/json_document.h"
#include "base/json_text.h"
#include "base/number.h"
#include "base/utf8.h"
#include "net/common/datatype.h"
#include "net/common/error.h"
#include "net/common/keys.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxRank = 64;
constexpr int kMaxNesting = 64;
constexpr size_t kMaxErrorText = 500;

// ---- Requests ----

[[noreturn]] void needs_binary(const sidecall_net_tensor& input, const std::string& expected) {
  throw Error(SIDECALL_UNSUPPORTED,
              std::string("input '") + input.name + "': expected " + expected +
                  ", because the server takes tensors as JSON only (or ?format=json asked for it)");
}

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

void append_json_data(const sidecall_net_tensor& input, std::string* out) {
  out->push_back('[');
  const size_t begin = out->size();
  const int64_t count = count_elements(input);
  const auto separate = [&] {
    if (out->size() != begin) out->push_back(',');
  };
  if (input.dtype == SIDECALL_DTYPE_STRING) {
    for (int64_t i = 0; i < count; ++i) {
      separate();
      append_json_string(string_at(input, i), out);
    }
  } else if (input.dtype == SIDECALL_DTYPE_BOOL) {
    for (int64_t i = 0; i < count; ++i) {
      separate();
      out->append(static_cast<const unsigned char*>(input.data)[i] != 0 ? "true" : "false");
    }
  } else {
    const bool is_number = visit_numbers(input, [&](auto value) {
      separate();
      if constexpr (std::is_floating_point_v<decltype(value)>) {
        if (!std::isfinite(value)) needs_binary(input, "finite numbers");
        // Python reads the integer -0 as 0.
        if (value == 0 && std::signbit(value)) out->append("-0.0");
        else append_number(value, out);
      } else {
        out->append(std::to_string(value));
      }
    });
    if (!is_number) needs_binary(input, "a type that JSON has");
  }
  out->push_back(']');
}

uint64_t binary_bytes(const sidecall_net_tensor& input) {
  return input.dtype == SIDECALL_DTYPE_STRING ? strings_bytes(input.offsets, count_elements(input))
                                              : input.bytes;
}

void append_binary(const sidecall_net_tensor& input, std::string* out) {
  const char* const data = static_cast<const char*>(input.data);
  if (input.dtype == SIDECALL_DTYPE_STRING)
    append_strings(data, input.offsets, count_elements(input), out);
  else if (input.bytes > 0) out->append(data, input.bytes);
}

void append_head(const sidecall_net_tensor& input, std::string* out) {
  out->append("{\"name\":");
  append_json_string(input.name, out);
  out->append(",\"shape\":[");
  for (int32_t i = 0; i < input.rank; ++i) {
    if (i > 0) out->push_back(',');
    out->append(std::to_string(input.dims[i]));
  }
  out->append("],\"datatype\":\"").append(datatype_of(input)).append("\",");
}

// ---- Answers ----

void parse(std::string_view text, json::Document* document) {
  rapidjson::MemoryStream memory(text.data(), text.size());
  rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(memory);
  if (json::parse_exactly(&stream, document).IsError() || !document->IsObject())
    broken_answer("a JSON object", "another body");
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
    broken_answer("a shape of " + what, "none, or another value");
  Dims dims;
  for (const json::Value& each : shape->GetArray()) {
    if (!each.IsInt64()) broken_answer("dimensions of " + what, "other values");
    dims.push_back(each.GetInt64());
  }
  return dims;
}

// The elements of nested arrays, in order.
class JsonData {
 public:
  JsonData(const json::Value& data, int64_t count, AnswerTensor* to, const std::string& what)
      : count_(count), to_(to), what_(what) {
    add(data, 0);
    if (found_ != count)
      broken_answer("as many elements as the shape of " + what + " says", "fewer");
    to->data = to->own.data();
    to->bytes = to->own.size();
    if (to->dtype == SIDECALL_DTYPE_STRING) to->offsets.push_back(size());
  }

 private:
  int64_t size() const { return static_cast<int64_t>(to_->own.size()); }

  void add(const json::Value& value, int depth) {
    if (!value.IsArray()) return add_element(value);
    if (depth >= kMaxNesting) broken_answer("data of " + what_ + " with at most 64 levels", "more");
    for (const json::Value& each : value.GetArray()) add(each, depth + 1);
  }

  void add_element(const json::Value& value) {
    if (++found_ > count_)
      broken_answer("as many elements as the shape of " + what_ + " says", "more");
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
        broken_answer("data of " + what_ + " in binary", "JSON, which does not have its type");
    }
  }

  template <typename Number>
  void add_bytes(Number number) {
    const auto* const bytes = reinterpret_cast<const char*>(&number);
    to_->own.insert(to_->own.end(), bytes, bytes + sizeof number);
  }

  [[noreturn]] void wrong_element() const {
    broken_answer(std::string("elements of ") + what_ + " of type " + dtype_name(to_->dtype),
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
  AnswerTensor* const to_;
  const std::string& what_;
};

std::vector<TensorSpec> read_specs(const json::Value& metadata, const char* key, const char* what) {
  const json::Value* const list = find(metadata, key);
  if (list == nullptr || !list->IsArray())
    broken_answer(std::string("the list '") + key + "' in the metadata", "none");
  std::vector<TensorSpec> specs;
  for (const json::Value& each : list->GetArray()) {
    const std::string name = text_at(each, "name");
    const Dims dims = read_shape(each, std::string(what) + " '" + name + "'");
    specs.push_back(make_spec(what, name, text_at(each, "datatype"), dims));
  }
  return specs;
}

}  // namespace

HttpBody write_http_request(const InferRequest& request, bool is_binary) {
  HttpBody body;
  std::string& out = body.bytes;
  out = "{\"id\":";
  append_json_string(request.expected.id, &out);
  out.append(",\"inputs\":[");
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    const int64_t num_strings = is_binary && input.offsets != nullptr ? count_elements(input) : 0;
    for (int64_t k = 0; k < num_strings; ++k) {
      if (input.offsets[k + 1] - input.offsets[k] > int64_t{UINT32_MAX})
        throw Error(SIDECALL_UNSUPPORTED, std::string("input '") + input.name +
                                              "': expected strings of less than 4 GiB, got more");
    }
  }
  uint64_t binary = 0;
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    if (i > 0) out.push_back(',');
    append_head(input, &out);
    if (is_binary) {
      const uint64_t bytes = binary_bytes(input);
      out.append("\"parameters\":{\"binary_data_size\":");
      out.append(std::to_string(bytes));
      out.append("}}");
      binary += bytes;
    } else {
      out.append("\"data\":");
      append_json_data(input, &out);
      out.push_back('}');
    }
  }
  out.append("],\"outputs\":[");
  for (size_t i = 0; i < request.expected.outputs.size(); ++i) {
    out.append(i > 0 ? ",{\"name\":" : "{\"name\":");
    append_json_string(request.expected.outputs[i], &out);
    out.append(is_binary ? ",\"parameters\":{\"binary_data\":true}}" : "}");
  }
  out.append("]}");
  body.json_length = out.size();
  if (!is_binary) return body;
  out.reserve(out.size() + binary);
  for (size_t i = 0; i < request.num_inputs; ++i) append_binary(request.inputs[i], &out);
  return body;
}

InferAnswer read_http_answer(const Expected& expected, const Reply& reply) {
  const std::string_view body = reply.body;
  size_t json_length = body.size();
  const std::string& header = reply.header("inference-header-content-length");
  if (!header.empty()) {
    const char* const end = header.data() + header.size();
    const auto read = std::from_chars(header.data(), end, json_length);
    if (read.ec != std::errc() || read.ptr != end || json_length > body.size())
      broken_answer(std::string(kJsonLengthHeader) + " of at most the size of the body",
                    "another value");
  }
  json::Document document;
  parse(body.substr(0, json_length), &document);
  std::string_view binary = body.substr(json_length);
  const json::Value* const outputs = find(document, "outputs");
  if (outputs == nullptr || !outputs->IsArray()) broken_answer("a list of outputs", "none");

  check_id(expected, text_at(document, "id"));
  InferAnswer answer;
  answer.outputs.resize(expected.outputs.size());
  for (const json::Value& each : outputs->GetArray()) {
    const std::string name = text_at(each, "name");
    const std::string what = "output '" + name + "'";
    const json::Value* const parameters = find(each, "parameters");
    const json::Value* const size =
        parameters == nullptr ? nullptr : find(*parameters, "binary_data_size");
    std::string_view bytes;
    if (size != nullptr) {
      if (!size->IsUint64() || size->GetUint64() > binary.size())
        broken_answer("all bytes of " + what, "fewer");
      bytes = binary.substr(0, size->GetUint64());
      binary.remove_prefix(size->GetUint64());
    }
    AnswerTensor* const tensor = place_output(expected.outputs, name, &answer);
    if (tensor == nullptr) continue;
    tensor->dtype = read_datatype(text_at(each, "datatype"), what);
    tensor->dims = read_shape(each, what);
    if (size != nullptr) {
      set_binary(bytes, what, tensor);
    } else {
      const json::Value* const data = find(each, "data");
      if (data == nullptr) broken_answer("data of " + what, "none");
      JsonData(*data, count_elements(*tensor, what), tensor, what);
    }
  }
  require_outputs(expected.outputs, answer);
  if (const json::Value* const parameters = find(document, "parameters"))
    answer.model_id = model_id_of(text_at(*parameters, kModelIdKey));
  return answer;
}

Metadata read_http_metadata(const std::string& body) {
  json::Document document;
  parse(body, &document);
  Metadata metadata;
  metadata.inputs = read_specs(document, "inputs", "input");
  metadata.outputs = read_specs(document, "outputs", "output");
  if (const json::Value* const properties = find(document, "properties")) {
    metadata.contract = text_at(*properties, kContractKey);
    metadata.model_id = model_id_of(text_at(*properties, kModelIdKey));
  }
  return metadata;
}

bool takes_binary(const std::string& body) {
  json::Document document;
  parse(body, &document);
  const json::Value* const extensions = find(document, "extensions");
  if (extensions == nullptr || !extensions->IsArray()) return false;
  const auto list = extensions->GetArray();
  return std::any_of(list.begin(), list.end(), [](const json::Value& each) {
    return each.IsString() && (std::strcmp(each.GetString(), "binary_tensor_data") == 0 ||
                               std::strcmp(each.GetString(), "binary_tensor") == 0);
  });
}

std::string read_error_text(const std::string& body) {
  std::string text;
  try {
    json::Document document;
    parse(body, &document);
    text = text_at(document, "error");
    if (text.empty()) text = text_at(document, "detail");  // of servers built with FastAPI
  } catch (const Error&) {
  }
  if (text.empty()) text = body;
  text.resize(cut_length(text, kMaxErrorText));
  return text;
}

}  // namespace sidecall::net
