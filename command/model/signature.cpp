// Reads the tensors and the contract of an open model into plain values; see signature.hpp.
#include "signature.hpp"

namespace sidecall::cli {

std::string Tensor::shape() const {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += i ? ", " : "";
    if (dims[i] >= 0) text += std::to_string(dims[i]);
    else text += dim_names[i].empty() ? "?" : dim_names[i];
  }
  return text + "]";
}

std::string Tensor::type_and_shape() const { return type + shape(); }

std::vector<Tensor> tensors_of(const sidecall_model* model, Side side) {
  const bool inputs = side == Side::kInput;
  const int32_t count =
      inputs ? sidecall_model_num_inputs(model) : sidecall_model_num_outputs(model);
  std::vector<Tensor> tensors;
  for (int32_t i = 0; i < count; ++i) {
    const sidecall_tensor_spec& spec =
        inputs ? *sidecall_model_input_spec(model, i) : *sidecall_model_output_spec(model, i);
    Tensor tensor;
    tensor.name = spec.name;
    tensor.type = sidecall_dtype_name(spec.dtype);
    for (int32_t k = 0; k < spec.rank; ++k) {
      tensor.dims.push_back(spec.dims[k]);
      tensor.dim_names.emplace_back(spec.dim_names[k]);
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

JsonDocument contract_of(const sidecall_model* model) {
  size_t length = 0;
  const char* text = sidecall_model_contract(model, &length);
  return parse_json(text ? std::string_view(text, length) : std::string_view());
}

}  // namespace sidecall::cli
