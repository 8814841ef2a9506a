// Fills the plain structs of sidecall.h from a signature; see specs.h.
#include "specs.h"

#include <utility>

#include "base/text/datetime.h"

namespace sidecall {
namespace {

void add_tensors(const std::vector<TensorSpec>& from, std::vector<sidecall_tensor_spec>* to,
                 std::vector<std::vector<const char*>>* dim_names) {
  for (const TensorSpec& spec : from) {
    std::vector<const char*> names;
    for (const std::string& name : spec.dim_names) names.push_back(name.c_str());
    dim_names->push_back(std::move(names));
    to->push_back({spec.name.c_str(), spec.dims.data(), dim_names->back().data(), spec.dtype,
                   static_cast<int32_t>(spec.dims.size()), spec.has_rows() ? 1 : 0, 0});
  }
}

}  // namespace

Specs::Specs(const Signature& signature) {
  add_tensors(signature.inputs, &inputs, &dim_names);
  add_tensors(signature.outputs, &outputs, &dim_names);
  for (const Feature& feature : signature.features) {
    features.push_back({feature.name.c_str(), feature.dtype, feature.nullable ? 1 : 0,
                        feature.input, static_cast<int32_t>(feature.column),
                        feature.per_second == 0 ? "" : unit_name(feature.per_second),
                        feature.zone.c_str(),
                        feature.epoch_per_second == 0 ? "" : unit_name(feature.epoch_per_second)});
  }
  for (const Column& column : signature.columns) {
    columns.push_back({column.name.c_str(), column.key.c_str(), column.dtype, column.output,
                       static_cast<int32_t>(column.column), column.form});
  }
}

}  // namespace sidecall
