// Records of a call: takes the values that lib/records.js has staged and sets them one by one, so
// that core remembers and reports every fault; see call.h.
#include <sidecall/binding.h>
#include <cmath>

#include "call.h"

namespace sidecall_node {
namespace {

// The kinds of values; must match the constants in lib/records.js, which stages a kind, a number
// and a length for each value.
enum Kind : uint8_t {
  kAbsent = 0,
  kNumber = 1,
  kBigInt = 2,
  kFalse = 3,
  kTrue = 4,
  kMissing = 5,
  kString = 6,
  kInvalid = 7  // setInvalid() has already reported this value
};

constexpr double kTwoTo53 = 9007199254740992.0;

// JavaScript has only one number type. As in JSON, a whole number goes to the setter for integers,
// except -0, whose sign an integer would lose.
void set_number(sidecall_call* call, int64_t row, int32_t feature, double value) {
  if (std::trunc(value) == value && std::fabs(value) <= kTwoTo53 &&
      !(value == 0 && std::signbit(value))) {
    sidecall_call_set_i64(call, row, feature, static_cast<int64_t>(value), nullptr);
  } else {
    sidecall_call_set_f64(call, row, feature, value, nullptr);
  }
}

}  // namespace

// setRecords(rows, numFeatures, kinds, numbers, lengths, text): `kinds`, `numbers` and `lengths`
// have one entry for each feature of each row, row by row. For a string, the entry in `numbers` is
// the offset in `text`. The call remembers refused values, and the run reports them.
Napi::Value Call::set_records(const Napi::CallbackInfo& info) {
  const auto rows = info[0].As<Napi::Number>().Int64Value();
  const int32_t num_features = info[1].As<Napi::Number>().Int32Value();
  const auto kinds = info[2].As<Napi::Uint8Array>();
  const auto numbers = info[3].As<Napi::Float64Array>();
  const auto lengths = info[4].As<Napi::Uint32Array>();
  const auto text = info[5].As<Napi::Uint8Array>();
  const uint8_t* kind = kinds.Data();
  const double* number = numbers.Data();
  const auto* integer = reinterpret_cast<const int64_t*>(number);
  int64_t at = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int32_t feature = 0; feature < num_features; ++feature, ++at) {
      switch (kind[at]) {
        case kNumber:
          set_number(handle_, row, feature, number[at]);
          break;
        case kBigInt:
          sidecall_call_set_i64(handle_, row, feature, integer[at], nullptr);
          break;
        case kFalse:
        case kTrue:
          sidecall_call_set_bool(handle_, row, feature, kind[at] == kTrue ? 1 : 0, nullptr);
          break;
        case kMissing:
          sidecall_call_set_missing(handle_, row, feature, nullptr);
          break;
        case kString:
          sidecall_call_set_str(
              handle_, row, feature,
              reinterpret_cast<const char*>(text.Data()) + static_cast<size_t>(number[at]),
              lengths.Data()[at], nullptr);
          break;
        default:  // absent, or reported by setInvalid
          break;
      }
    }
  }
  return info.Env().Undefined();
}

// setInvalid(row, feature, got): reports a value of a wrong type. With feature -1 the row itself is
// wrong, and this throws.
Napi::Value Call::set_invalid(const Napi::CallbackInfo& info) {
  const std::string got = info[2].As<Napi::String>();
  const int32_t feature = info[1].As<Napi::Number>().Int32Value();
  const sidecall_status status =
      sidecall_call_set_invalid(handle_, info[0].As<Napi::Number>().Int64Value(), feature,
                                got.c_str(), environment_->error());
  if (feature < 0) environment_->check(status);
  return info.Env().Undefined();
}

// setUnknown(row, name): reports a feature that the model does not have.
Napi::Value Call::set_unknown(const Napi::CallbackInfo& info) {
  const std::string name = info[1].As<Napi::String>();
  sidecall_call_set_unknown(handle_, info[0].As<Napi::Number>().Int64Value(), name.data(),
                            name.size(), nullptr);
  return info.Env().Undefined();
}

// clear(rows): discards the previous records and prepares the call for `rows` new ones.
Napi::Value Call::clear(const Napi::CallbackInfo& info) {
  environment_->check(sidecall_call_resize(handle_, info[0].As<Napi::Number>().Int64Value(),
                                           environment_->error()));
  environment_->check(sidecall_call_clear(handle_, environment_->error()));
  return info.Env().Undefined();
}

// refuseColumn(row, column): throws the error of core for a column that cannot be read.
Napi::Value Call::refuse_column(const Napi::CallbackInfo& info) {
  double value = 0;
  environment_->check(sidecall_call_get_f64(handle_, info[0].As<Napi::Number>().Int64Value(),
                                            info[1].As<Napi::Number>().Int32Value(), &value,
                                            environment_->error()));
  return info.Env().Undefined();
}

}  // namespace sidecall_node
