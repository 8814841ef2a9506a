// Records of a call: takes the values that lib/records.js has staged and sets them one by one, so
// that core remembers and reports every fault; see call.h.
#include <sidecall/binding.h>
#include <algorithm>
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
  kInvalid = 7,  // setInvalid() has already reported this value
  kEpoch = 8,    // the text of a number for a datetime feature
  kDate = 9      // milliseconds since 1970 for a datetime feature
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

void set_date(sidecall_call* call, int64_t row, int32_t feature, double milliseconds) {
  constexpr int64_t kPerSecond = 1000, kNanoseconds = 1000000;
  const auto whole = static_cast<int64_t>(milliseconds);  // a Date holds at most 8.64e15
  int64_t seconds = whole / kPerSecond, rest = whole % kPerSecond;
  if (rest < 0) {
    --seconds;
    rest += kPerSecond;
  }
  sidecall_call_set_datetime(call, row, feature, seconds, static_cast<int32_t>(rest * kNanoseconds),
                             nullptr);
}

// The elements of an argument that is a typed array.
template <typename Element>
const Element* elements_of(napi_env env, napi_value array) {
  void* data = nullptr;
  napi_get_typedarray_info(env, array, nullptr, nullptr, &data, nullptr, nullptr);
  return static_cast<const Element*>(data);
}

}  // namespace

// Discards the previous records and prepares the call for `rows` new ones.
sidecall_status Call::clear_records(int64_t rows) {
  const sidecall_status status = sidecall_call_resize(handle_, rows, environment_->error());
  return status == SIDECALL_OK ? sidecall_call_clear(handle_, environment_->error()) : status;
}

// setRecords(rows, numFeatures, isCleared, kinds, numbers, lengths, text): `kinds`, `numbers` and
// `lengths` have one entry for each feature of each row, row by row. For a string or the text of a
// number, the entry in `numbers` is the offset in `text`. The call remembers refused values, and
// the run reports them. `isCleared`: clear() was called, and maybe setInvalid() and setUnknown().
napi_value Call::set_records(napi_env env, napi_callback_info info) {
  size_t count = 7;
  napi_value arguments[7];
  void* call = nullptr;
  int64_t rows = 0;
  int32_t num_features = 0;
  bool is_cleared = false;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &call);
  napi_get_value_int64(env, arguments[0], &rows);
  napi_get_value_int32(env, arguments[1], &num_features);
  napi_get_value_bool(env, arguments[2], &is_cleared);
  auto* self = static_cast<Call*>(call);
  const sidecall_status status = is_cleared ? SIDECALL_OK : self->clear_records(rows);
  if (status != SIDECALL_OK) {
    self->throw_error(env, status);
    return nullptr;
  }
  sidecall_call* const handle = self->handle_;
  const auto* kind = elements_of<uint8_t>(env, arguments[3]);
  const auto* number = elements_of<double>(env, arguments[4]);
  const auto* lengths = elements_of<uint32_t>(env, arguments[5]);
  const auto* text = elements_of<char>(env, arguments[6]);
  const auto* integer = reinterpret_cast<const int64_t*>(number);
  int64_t at = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int32_t feature = 0; feature < num_features; ++feature, ++at) {
      switch (kind[at]) {
        case kNumber:
          set_number(handle, row, feature, number[at]);
          break;
        case kBigInt:
          sidecall_call_set_i64(handle, row, feature, integer[at], nullptr);
          break;
        case kFalse:
        case kTrue:
          sidecall_call_set_bool(handle, row, feature, kind[at] == kTrue ? 1 : 0, nullptr);
          break;
        case kMissing:
          sidecall_call_set_missing(handle, row, feature, nullptr);
          break;
        case kString:
          sidecall_call_set_str(handle, row, feature, text + static_cast<size_t>(number[at]),
                                lengths[at], nullptr);
          break;
        case kEpoch:
          sidecall_call_set_epoch(handle, row, feature, text + static_cast<size_t>(number[at]),
                                  lengths[at], nullptr);
          break;
        case kDate:
          set_date(handle, row, feature, number[at]);
          break;
        default:  // absent, or reported by setInvalid
          break;
      }
    }
  }
  return nullptr;
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

// clear(rows): see clear_records().
Napi::Value Call::clear(const Napi::CallbackInfo& info) {
  environment_->check(clear_records(info[0].As<Napi::Number>().Int64Value()));
  return info.Env().Undefined();
}

// readText(column): returns the string of the first row in that column.
napi_value Call::read_text(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  void* call = nullptr;
  int32_t column = -1;
  napi_get_cb_info(env, info, &count, &argument, nullptr, &call);
  napi_get_value_int32(env, argument, &column);
  auto* self = static_cast<Call*>(call);
  const char* text = nullptr;
  size_t length = 0;
  const sidecall_status status =
      sidecall_call_get_str(self->handle_, 0, column, &text, &length, self->environment_->error());
  if (status != SIDECALL_OK) {
    self->throw_error(env, status);
    return nullptr;
  }
  const bool is_ascii = std::all_of(text, text + length, [](char c) { return (c & 0x80) == 0; });
  napi_value made = nullptr;
  if (is_ascii) napi_create_string_latin1(env, text, length, &made);
  else napi_create_string_utf8(env, text, length, &made);
  return made;
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
