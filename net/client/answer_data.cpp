// Fills the tensors of an answer; see answer_data.h.
#include "answer_data.h"

#include <sidecall/sidecall.h>

#include <algorithm>

#include "base/dtype.h"
#include "base/utf8.h"
#include "net/common/datatype.h"
#include "net/common/error.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {

void broken_answer(const std::string& expected, const std::string& got) {
  throw Error(SIDECALL_PROTOCOL, "answer: expected " + expected + ", got " + got);
}

AnswerTensor* place_output(const OutputNames& names, const std::string& name, InferAnswer* answer) {
  const auto wanted = std::find(names.begin(), names.end(), name);
  if (wanted == names.end()) return nullptr;
  AnswerTensor& tensor = answer->outputs[static_cast<size_t>(wanted - names.begin())];
  if (tensor.dtype != 0) broken_answer("each output once", "output '" + name + "' twice");
  tensor.name = name;
  return &tensor;
}

void check_id(const Expected& expected, std::string_view id) {
  if (!id.empty() && id != expected.id)
    broken_answer("the answer of this run", "that of another run");
}

std::string model_id_of(std::string_view text) {
  constexpr size_t kMost = 256;
  return std::string(text.size() <= kMost && is_utf8_without_nul(text) ? text : "");
}

void require_outputs(const OutputNames& names, const InferAnswer& answer) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (answer.outputs[i].dtype == 0) broken_answer("the output '" + names[i] + "'", "none");
  }
}

int64_t count_elements(const AnswerTensor& tensor, const std::string& what) {
  const int64_t count = element_count(tensor.dims.data(), tensor.dims.size());
  if (count < 0) broken_answer("a shape of " + what + " that data can have", "another one");
  return count;
}

void set_binary(std::string_view data, const std::string& what, AnswerTensor* tensor) {
  const int64_t count = count_elements(*tensor, what);
  if (tensor->dtype == SIDECALL_DTYPE_STRING) {
    if (!read_strings(data, count, &tensor->own, &tensor->offsets))
      broken_answer("strings of " + what + " that fill its bytes", "other lengths");
    tensor->data = tensor->own.data();
    tensor->bytes = tensor->own.size();
    return;
  }
  const auto expected =
      static_cast<uint64_t>(count) * static_cast<uint64_t>(dtype_bits(tensor->dtype)) / 8;
  if (data.size() != expected)
    broken_answer(std::to_string(expected) + " bytes for " + what, std::to_string(data.size()));
  tensor->data = data.data();
  tensor->bytes = data.size();
}

int32_t read_datatype(const std::string& datatype, const std::string& what) {
  const int32_t dtype = dtype_of(datatype);
  if (dtype == 0)
    broken_answer("a datatype of " + what, datatype.empty() ? "none" : "an unknown one");
  return dtype;
}

TensorSpec make_spec(const char* kind, const std::string& name, const std::string& datatype,
                     const Dims& dims) {
  if (name.empty() || !is_utf8_without_nul(name))
    broken_answer(std::string("a name of each ") + kind + " in the metadata", "none");
  TensorSpec spec;
  spec.name = name;
  const std::string what = std::string(kind) + " '" + name + "'";
  spec.dtype = read_datatype(datatype, what);
  spec.dims = dims;
  if (!std::all_of(dims.begin(), dims.end(), [](int64_t size) { return size >= -1; }))
    broken_answer("dimensions of " + what + " of -1 or more", "others");
  return spec;
}

}  // namespace sidecall::net
