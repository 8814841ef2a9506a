// Reads and writes tensors as JSON, in the form that the Open Inference Protocol gives them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/json/json_document.h"
#include "net/api/net.h"
#include "received.h"

namespace sidecall::net {

// ---- Reading. All throw BrokenMessage. ----

// Parses a text that must be one JSON object.
void parse_object(std::string_view text, json::Document* document);
// The member of an object; nullptr if there is none, or `object` is something else.
const json::Value* find(const json::Value& object, const char* key);
// The text of a member; "" if it is absent or something else.
std::string text_at(const json::Value& object, const char* key);
Dims read_shape(const json::Value& tensor, const std::string& what);
// Called for a null among the elements of a tensor. Throws if the element cannot be missing. If the
// tensor has type int64, returns the number that stands for a missing value of this element.
using OnNull = std::function<int64_t(const ReceivedTensor& tensor, int64_t element)>;
// Rules for the data of a tensor.
struct DataRules {
  OnNull on_null;
  // The only element of a tensor may be nested in up to 64 lists, because some servers write it so.
  bool may_wrap_one = false;
};
// Reads the datatype, the shape and the elements of a tensor. Elements in binary are taken from the
// beginning of `binary`, which becomes shorter.
void read_json_tensor(const json::Value& value, const std::string& what, std::string_view* binary,
                      const DataRules& rules, ReceivedTensor* tensor);
// The bytes that belong to a tensor that is not read; they are skipped.
void skip_binary(const json::Value& value, const std::string& what, std::string_view* binary);
// Returns how many bytes of a body are JSON; the rest is binary. `header`: the value of
// Inference-Header-Content-Length, or "" without this header.
size_t json_length_of(const std::string& header, size_t body_bytes);

// ---- Writing ----

// `{"name":...,"shape":...,"datatype":...,` of a tensor.
void append_tensor_head(const sidecall_net_tensor& tensor, std::string* out);
// The elements as a JSON list. `has_nulls`: NaN becomes null. Returns false if JSON cannot hold the
// type or one of the numbers; `*expected` then says what JSON can hold.
bool append_json_data(const sidecall_net_tensor& tensor, bool has_nulls, std::string* out,
                      const char** expected);

}  // namespace sidecall::net
