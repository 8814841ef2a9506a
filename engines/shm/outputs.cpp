// Computes the sizes of outputs and reads answers; see outputs.h.
#include "outputs.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/shapes.h"
#include "errors.h"
#include "shm/common/layout.h"

namespace sidecall {
namespace {

constexpr uint64_t kLargeBytes = 32 * 1024;  // copying this much takes a microsecond
constexpr uint64_t kBytesPerString = 32;
constexpr uint64_t kFaultTexts = 8;

}  // namespace

RemoteOutputs::RemoteOutputs(const std::vector<TensorSpec>& specs, bool may_move)
    : may_move_(may_move) {
  for (const TensorSpec& spec : specs) {
    outputs_.emplace_back();
    outputs_.back().spec = spec;
  }
}

void RemoteOutputs::expect(const std::vector<std::optional<Dims>>& dims) {
  for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i].expected = dims[i];
  wanted_bytes_.reset();
}

void* RemoteOutputs::shape(int32_t index, const Dims* dims, void* data) {
  Output& output = outputs_[static_cast<size_t>(index)];
  num_known_ -= is_size_known(output) ? 1 : 0;
  output.dims = dims != nullptr ? std::make_optional(*dims) : std::nullopt;
  num_known_ += is_size_known(output) ? 1 : 0;
  wanted_bytes_.reset();
  output.expected = output.dims;
  output.bound = data;
  output.place = nullptr;
  output.is_copied = output.is_read_only = false;
  output.data = nullptr;
  if (dims == nullptr || output.spec.dtype == SIDECALL_DTYPE_STRING) return nullptr;
  output.data = data;
  return data;  // own memory is allocated when the first answer is read
}

// The room for an answer that is an error. The error may have to name every row as faulty, with a
// few different texts.
uint64_t RemoteOutputs::failure_bytes() const {
  uint64_t rows = 1;
  for (const Output& output : outputs_) {
    if (output.expected && !output.expected->empty())
      rows = std::max(rows, static_cast<uint64_t>(output.expected->front()));
  }
  rows = std::min<uint64_t>(rows, shm::kMaxFaultRows);
  return shm::failure_bytes(std::min(rows, kFaultTexts), rows);
}

uint64_t RemoteOutputs::wanted_bytes() const {
  if (wanted_bytes_) return *wanted_bytes_;
  std::vector<shm::Tensor> tensors(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Output& output = outputs_[i];
    if (!output.expected) continue;
    const int64_t elements = count_elements(*output.expected);
    tensors[i].bytes =
        output.spec.dtype == SIDECALL_DTYPE_STRING
            ? shm::string_bytes(elements, static_cast<uint64_t>(elements) * kBytesPerString)
            : count_bytes(output.spec.dtype, *output.expected);
  }
  wanted_bytes_ = std::max(shm::place(&tensors), failure_bytes());
  return *wanted_bytes_;
}

void RemoteOutputs::read(const shm::Answer& answer) {
  slot_ = answer.slot;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Output& output = outputs_[i];
    output.answer = &(*answer.tensors)[i];
    check_shape(output);
    if (output.spec.dtype == SIDECALL_DTYPE_STRING) continue;
    // A one-shot result is at another address each time.
    if (answer.is_one_shot && output.dims && output.place == nullptr) output.is_copied = true;
    take(&output, answer.slot + output.answer->offset);
  }
}

void RemoteOutputs::forget_places() noexcept {
  for (Output& output : outputs_) output.place = nullptr;
}

bool RemoteOutputs::leave_slot() noexcept {
  const auto is_large = [](const Output& output) {
    return output.is_read_only || output.answer->bytes > kLargeBytes;
  };
  if (slot_ == nullptr || std::any_of(outputs_.begin(), outputs_.end(), is_large)) return false;
  try {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Output& output = outputs_[i];
      if (output.spec.dtype == SIDECALL_DTYPE_STRING)
        read_strings(static_cast<int32_t>(i), &output.bytes, &output.offsets);
      output.kept_answer = *output.answer;
    }
  } catch (const std::exception&) {
    return false;  // reading the output will report it
  }
  for (Output& output : outputs_) output.answer = &output.kept_answer;
  slot_ = nullptr;
  return true;
}

uint64_t RemoteOutputs::answer_bytes() const {
  uint64_t bytes = shm::table_bytes(outputs_.size());
  for (const Output& output : outputs_)
    bytes = std::max(bytes, output.answer->offset + output.answer->bytes);
  return bytes;
}

void RemoteOutputs::check_shape(const Output& output) const {
  const shm::Tensor& answer = *output.answer;
  if (!output.dims || (answer.rank == output.dims->size() &&
                       std::equal(output.dims->begin(), output.dims->end(), answer.dims)))
    return;
  const TensorSpec& spec = output.spec;
  throw Error("output",
              {SIDECALL_SHAPE_MISMATCH, -1, spec.name, describe_tensor(spec.dtype, *output.dims),
               describe_tensor(spec.dtype, Dims(answer.dims, answer.dims + answer.rank))});
}

// Whether an output may be read in place. A bool tensor is always copied, because the copy makes
// each byte 0 or 1, whatever the server wrote.
bool RemoteOutputs::may_stay(const Output& output) const {
  if (output.answer->bytes <= kLargeBytes || output.bound != nullptr ||
      output.spec.dtype == SIDECALL_DTYPE_BOOL || output.is_copied)
    return false;
  return (num_known_ == outputs_.size() && !may_move_) || !output.dims;
}

void* RemoteOutputs::target(Output* output) const {
  if (output->bound != nullptr) return output->bound;
  output->own.reserve(output->answer->bytes);
  return output->own.data();
}

void RemoteOutputs::take(Output* output, const unsigned char* from) const {
  if (output->place != nullptr && output->place != from) {
    output->place = nullptr;
    output->is_copied = true;
    throw Error(SIDECALL_PEER_DIED,
                "the server restarted and its outputs have moved: run the call again");
  }
  output->is_read_only = may_stay(*output);
  if (output->is_read_only) {
    // The cast is safe: the caller is told that the view is read-only, and the pages are mapped
    // read-only.
    output->data = const_cast<unsigned char*>(from);
    if (output->dims) output->place = from;
    return;
  }
  output->data = target(output);
  const uint64_t bytes = output->answer->bytes;
  if (output->spec.dtype == SIDECALL_DTYPE_BOOL) {
    auto* const values = static_cast<unsigned char*>(output->data);
    for (uint64_t i = 0; i < bytes; ++i) values[i] = from[i] != 0 ? 1 : 0;
  } else if (bytes > 0) {
    std::memcpy(output->data, from, bytes);
  }
}

OutputTensor RemoteOutputs::tensor(int32_t index) const {
  const Output& output = at(index);
  return {Dims(output.answer->dims, output.answer->dims + output.answer->rank), output.data};
}

void RemoteOutputs::read_strings(int32_t index, std::string* bytes,
                                 std::vector<int64_t>* offsets) const {
  const Output& output = at(index);
  if (slot_ == nullptr) {
    *bytes = output.bytes;
    *offsets = output.offsets;
    return;
  }
  with_core_errors([&] {
    shm::read_strings(slot_, *output.answer, "output", output.spec.name, offsets, bytes, false);
  });
}

}  // namespace sidecall
