// Tensors of a call: memory for inputs and outputs, and inputs in the caller's own memory; see
// call.h.
#include <sidecall/binding.h>
#include <algorithm>
#include <cstring>

#include "call.h"

namespace sidecall_node {
namespace {

size_t index_of(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }

void read_dims(const Napi::Value& value, std::vector<int64_t>* dims) {
  const auto array = value.As<Napi::Array>();
  dims->resize(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i)
    (*dims)[i] = array.Get(i).As<Napi::Number>().Int64Value();
}

Napi::Value make_dims(Napi::Env env, const sidecall_view& view) {
  if (view.rank < 0) return env.Null();
  auto dims = Napi::Array::New(env, static_cast<size_t>(view.rank));
  for (int32_t i = 0; i < view.rank; ++i)
    dims[static_cast<uint32_t>(i)] = Napi::Number::New(env, static_cast<double>(view.dims[i]));
  return dims;
}

struct Bytes {
  void* data;
  size_t length;
};

// The memory of a typed array; empty if the array is detached.
Bytes bytes_of(const Napi::Value& value) {
  const auto array = value.As<Napi::TypedArray>();
  return {static_cast<char*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
}

sidecall_view view_of(int32_t dtype, const std::vector<int64_t>& dims, void* data, uint64_t bytes) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = static_cast<int32_t>(dims.size());
  view.dims = dims.data();
  view.data = data;
  view.data_bytes = bytes;
  return view;
}

// The number of bytes of a tensor. Returns UINT64_MAX on overflow, which core refuses.
uint64_t count_bytes(const std::vector<int64_t>& dims, int32_t dtype) {
  uint64_t bits = static_cast<uint64_t>(sidecall_dtype_bits(dtype));
  for (const int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(bits, static_cast<uint64_t>(dim), &bits))
      return UINT64_MAX;
  }
  return bits / 8 + (bits % 8 == 0 ? 0 : 1);
}

}  // namespace

// ownInput(input, dtype, dims, isMissing): allocates memory of that shape, which the engine reads
// in place from now on. Its values are missing until they are written if `isMissing`, otherwise
// zero. Returns its ArrayBuffer.
Napi::Value Call::own_input(const Napi::CallbackInfo& info) {
  const size_t index = index_of(info[0]);
  const int32_t dtype = info[1].As<Napi::Number>().Int32Value();
  read_dims(info[2], &dims_);
  const uint64_t bytes = count_bytes(dims_, dtype);
  // First check the shape without memory, so that an invalid shape is refused before anything is
  // allocated. If the shape is valid, the status is INVALID_ARGUMENT, because the probe has no
  // memory; this is not an error here.
  const sidecall_view probe = view_of(dtype, dims_, nullptr, bytes);
  const auto input = static_cast<int32_t>(index);
  const sidecall_status status =
      sidecall_call_bind_input(handle_, input, &probe, environment_->error());
  if (status != SIDECALL_OK && status != SIDECALL_INVALID_ARGUMENT) environment_->check(status);
  const bool is_missing = info[3].ToBoolean();
  sidecall_view missing = SIDECALL_VIEW_INIT;
  if (is_missing) {
    environment_->check(sidecall_call_reshape(
        handle_, input, dims_.data(), static_cast<int32_t>(dims_.size()), environment_->error()));
    environment_->check(sidecall_call_input(handle_, input, &missing, environment_->error()));
  }
  const Napi::ArrayBuffer buffer = inputs_[index].open(*environment_, bytes);
  if (is_missing && bytes > 0) {
    std::memcpy(inputs_[index].data(), missing.data, bytes);
    inputs_[index].copy_out();
  }
  const sidecall_view view = view_of(dtype, dims_, inputs_[index].data(), bytes);
  environment_->check(sidecall_call_bind_input(handle_, input, &view, environment_->error()));
  return buffer;
}

void Call::give_tensor(const Napi::CallbackInfo& info, bool borrow) {
  const size_t index = index_of(info[0]);
  read_dims(info[2], &dims_);
  const Bytes bytes = bytes_of(info[3]);
  const sidecall_view view =
      view_of(info[1].As<Napi::Number>().Int32Value(), dims_, bytes.data, bytes.length);
  inputs_[index].close();
  const auto give = borrow ? sidecall_call_bind_input : sidecall_call_copy_input;
  environment_->check(give(handle_, static_cast<int32_t>(index), &view, environment_->error()));
}

// borrowInput(input, dtype, dims, typedArray): the engine reads the caller's memory in place, until
// the input is set again.
Napi::Value Call::borrow_input(const Napi::CallbackInfo& info) {
  give_tensor(info, true);
  return info.Env().Undefined();
}

// copyInput(input, dtype, dims, typedArray): sets an input to a copy of the array.
Napi::Value Call::copy_input(const Napi::CallbackInfo& info) {
  give_tensor(info, false);
  return info.Env().Undefined();
}

// giveStrings(input, dtype, dims, bytes, ends): sets a string input. `bytes` is the UTF-8 of all
// strings without gaps; `ends`, a Float64Array, has the offset at which each string ends.
Napi::Value Call::give_strings(const Napi::CallbackInfo& info) {
  read_dims(info[2], &dims_);
  const Bytes bytes = bytes_of(info[3]);
  const auto ends = info[4].As<Napi::Float64Array>();
  std::vector<int64_t> offsets(ends.ElementLength() + 1, 0);
  std::transform(ends.Data(), ends.Data() + ends.ElementLength(), offsets.begin() + 1,
                 [](double end) { return static_cast<int64_t>(end); });
  sidecall_view view =
      view_of(info[1].As<Napi::Number>().Int32Value(), dims_, bytes.data, bytes.length);
  view.offsets = offsets.data();
  environment_->check(sidecall_call_copy_input(handle_, info[0].As<Napi::Number>().Int32Value(),
                                               &view, environment_->error()));
  return info.Env().Undefined();
}

// refuseInput(input, got): throws DTYPE_MISMATCH for an input whose type is `got`.
Napi::Value Call::refuse_input(const Napi::CallbackInfo& info) {
  const std::string got = info[1].As<Napi::String>();
  sidecall_call_describe_mismatch(handle_, info[0].As<Napi::Number>().Int32Value(), got.c_str(),
                                  environment_->error());
  environment_->check(environment_->error()->status);
  return info.Env().Undefined();
}

Napi::Value Call::reset(const Napi::CallbackInfo& info) {
  environment_->check(sidecall_call_reset(handle_, environment_->error()));
  return info.Env().Undefined();
}

// outputDims(): returns an array with the dims of each output; null stands for dims that are known
// only after a run. Throws if the shapes of the inputs do not agree.
Napi::Value Call::output_dims(const Napi::CallbackInfo& info) {
  // After a run, sidecall_call_output shows the outputs of that run. Unbinding makes the call
  // derive the shapes from its inputs again. Errors can be ignored here, because
  // sidecall_call_output reports them again below.
  for (size_t i = 0; i < outputs_.size(); ++i)
    sidecall_call_bind_output(handle_, static_cast<int32_t>(i), nullptr, 0, nullptr);
  auto all = Napi::Array::New(info.Env(), outputs_.size());
  for (uint32_t i = 0; i < outputs_.size(); ++i) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    environment_->check(
        sidecall_call_output(handle_, static_cast<int32_t>(i), &view, environment_->error()));
    all[i] = make_dims(info.Env(), view);
  }
  return all;
}

// ownOutput(output): allocates memory for an output whose shape is known; the engine writes to it
// from now on. Returns its ArrayBuffer.
Napi::Value Call::own_output(const Napi::CallbackInfo& info) {
  const size_t index = index_of(info[0]);
  const auto output = static_cast<int32_t>(index);
  sidecall_view view = SIDECALL_VIEW_INIT;
  environment_->check(sidecall_call_output(handle_, output, &view, environment_->error()));
  const Napi::ArrayBuffer buffer = outputs_[index].open(*environment_, view.data_bytes);
  environment_->check(sidecall_call_bind_output(handle_, output, outputs_[index].data(),
                                                view.data_bytes, environment_->error()));
  return buffer;
}

// readOutput(output): returns [dims, data] of the last run, where data is a new ArrayBuffer or an
// array of strings.
Napi::Value Call::read_output(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  sidecall_view view = SIDECALL_VIEW_INIT;
  environment_->check(sidecall_call_output(handle_, info[0].As<Napi::Number>().Int32Value(), &view,
                                           environment_->error()));
  auto result = Napi::Array::New(env, 2);
  result[0U] = make_dims(env, view);
  if (view.offsets == nullptr) {
    Napi::ArrayBuffer buffer = make_buffer(*environment_, view.data_bytes);
    if (view.data_bytes > 0)
      std::copy_n(static_cast<const char*>(view.data), view.data_bytes,
                  static_cast<char*>(buffer.Data()));
    result[1U] = buffer;
    return result;
  }
  int64_t count = 1;
  for (int32_t i = 0; i < view.rank; ++i) count *= view.dims[i];
  const auto strings = Napi::Array::New(env, static_cast<size_t>(count));
  const char* text = static_cast<const char*>(view.data);
  for (int64_t i = 0; i < count; ++i) {
    const Napi::HandleScope scope(env);
    const auto length = static_cast<size_t>(view.offsets[i + 1] - view.offsets[i]);
    strings.Set(static_cast<uint32_t>(i), Napi::String::New(env, text + view.offsets[i], length));
  }
  result[1U] = strings;
  return result;
}

}  // namespace sidecall_node
