// Fills the tensors of an answer; see answer_data.h.
#include "answer_data.h"

#include <sidecall/sidecall.h>

#include <algorithm>

#include "base/text/utf8.h"

namespace sidecall::net {

ReceivedTensor* place_output(const OutputNames& names, const std::string& name,
                             InferAnswer* answer) {
  const auto wanted = std::find(names.begin(), names.end(), name);
  if (wanted == names.end()) return nullptr;
  ReceivedTensor& tensor = answer->outputs[static_cast<size_t>(wanted - names.begin())];
  if (tensor.dtype != 0) broken("each output once", "output '" + name + "' twice");
  tensor.name = name;
  return &tensor;
}

void check_id(const Expected& expected, std::string_view id) {
  if (!id.empty() && id != expected.id) broken("the answer of this run", "that of another run");
}

std::string model_id_of(std::string_view text) {
  constexpr size_t kMost = 256;
  return std::string(text.size() <= kMost && is_utf8_without_nul(text) ? text : "");
}

void require_outputs(const OutputNames& names, const InferAnswer& answer) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (answer.outputs[i].dtype == 0) broken("the output '" + names[i] + "'", "none");
  }
}

TensorSpec make_spec(const char* kind, const std::string& name, const std::string& datatype,
                     const Dims& dims) {
  if (name.empty() || !is_utf8_without_nul(name))
    broken(std::string("a name of each ") + kind + " in the metadata", "none");
  TensorSpec spec;
  spec.name = name;
  const std::string what = std::string(kind) + " '" + name + "'";
  spec.dtype = read_datatype(datatype, what);
  spec.dims = dims;
  if (!std::all_of(dims.begin(), dims.end(), [](int64_t size) { return size >= -1; }))
    broken("dimensions of " + what + " of -1 or more", "others");
  return spec;
}

}  // namespace sidecall::net
