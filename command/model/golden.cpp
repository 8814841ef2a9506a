// Sets features of a call to values of golden rows; see golden.hpp.
#include "golden.hpp"

#include <limits>

namespace sidecall::cli {
namespace {

// The contract stores numbers that JSON cannot represent as strings: "inf", "-inf", "nan".
double number_of(const std::string& text) {
  const double infinity = std::numeric_limits<double>::infinity();
  return text == "inf"    ? infinity
         : text == "-inf" ? -infinity
                          : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void set_golden(const sidecall_model* model, sidecall_call* call, int64_t row, int32_t feature,
                const Json& value) {
  const int32_t dtype = sidecall_model_feature_spec(model, feature)->dtype;
  const bool is_float = dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
  if (value.IsNull()) sidecall_call_set_missing(call, row, feature, nullptr);
  else if (value.IsBool()) sidecall_call_set_bool(call, row, feature, value.GetBool(), nullptr);
  else if (value.IsInt64()) sidecall_call_set_i64(call, row, feature, value.GetInt64(), nullptr);
  else if (value.IsNumber()) sidecall_call_set_f64(call, row, feature, value.GetDouble(), nullptr);
  else if (value.IsString() && is_float)
    sidecall_call_set_f64(call, row, feature, number_of(value.GetString()), nullptr);
  else if (value.IsString())
    sidecall_call_set_str(call, row, feature, value.GetString(), value.GetStringLength(), nullptr);
}

}  // namespace sidecall::cli
