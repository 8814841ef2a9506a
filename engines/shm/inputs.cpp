// Assigns places in the request slot, copies inputs there and writes the table; see inputs.h.
#include "inputs.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstring>

#include "core/shapes.h"
#include "shm/common/layout.h"

namespace sidecall {
namespace {

constexpr uint64_t kBytesPerString = 32;  // room for each string before the texts are known

uint64_t room_for(uint64_t bytes) {
  return shm::align_up(std::max<uint64_t>(bytes, 1), shm::kLine);
}

}  // namespace

RemoteInputs::RemoteInputs(const std::vector<TensorSpec>& specs)
    : inputs_(specs.size()), used_(shm::table_bytes(specs.size())) {
  for (size_t i = 0; i < specs.size(); ++i) {
    inputs_[i].tensor.dtype = specs[i].dtype;
    inputs_[i].is_string = specs[i].dtype == SIDECALL_DTYPE_STRING;
    has_strings_ = has_strings_ || inputs_[i].is_string;
  }
}

void RemoteInputs::expect(const std::vector<Dims>& dims) {
  for (size_t i = 0; i < inputs_.size(); ++i)
    inputs_[i].expected = expected_bytes(inputs_[i], dims[i]);
}

uint64_t RemoteInputs::expected_bytes(const Input& input, const Dims& dims) {
  if (!input.is_string) return count_bytes(input.tensor.dtype, dims);
  const int64_t elements = count_elements(dims);
  return shm::string_bytes(
      elements, std::max(input.text_bytes, static_cast<uint64_t>(elements) * kBytesPerString));
}

void RemoteInputs::shape(int32_t index, const Dims& dims) {
  Input& input = at(index);
  const int64_t elements = count_elements(dims);
  const uint64_t bytes = count_bytes(input.tensor.dtype, dims);
  if (input.is_string) {
    input.strings.resize(static_cast<size_t>(elements));
    for (std::string& text : input.strings) text.clear();
    input.text_bytes = 0;
  }
  shm::Tensor& tensor = input.tensor;
  tensor.rank = static_cast<uint32_t>(dims.size());
  tensor.elements = elements;
  tensor.bytes = bytes;
  std::fill(std::copy(dims.begin(), dims.end(), tensor.dims), std::end(tensor.dims), 0);
  is_table_written_ = false;
}

void RemoteInputs::set_string(int32_t index, int64_t element, std::string_view value) {
  Input& input = at(index);
  std::string& text = input.strings[static_cast<size_t>(element)];
  input.text_bytes += value.size() - text.size();
  text.assign(value);
}

void RemoteInputs::borrow(int32_t input, const void* data) {
  at(input).outside = data;
  has_outside_ = true;
}

uint64_t RemoteInputs::bytes_of(const Input& input) noexcept {
  return input.is_string ? shm::string_bytes(input.tensor.elements, input.text_bytes)
                         : input.tensor.bytes;
}

bool RemoteInputs::find_place(int32_t index, const Dims& dims, uint64_t slot_bytes) {
  Input& input = at(index);
  input.expected = expected_bytes(input, dims);
  return find_place(&input, input.expected, slot_bytes);
}

bool RemoteInputs::find_place(Input* input, uint64_t bytes, uint64_t slot_bytes) {
  if (input->capacity >= std::max<uint64_t>(bytes, 1)) return true;
  const uint64_t room =
      room_for(input->is_string ? std::max(bytes + bytes / 2, input->expected) : bytes);
  if (used_ > slot_bytes || room > slot_bytes - used_) return false;
  input->tensor.offset = used_;
  input->capacity = room;
  input->is_new = true;
  used_ += room;
  is_table_written_ = false;
  return true;
}

bool RemoteInputs::find_places(uint64_t slot_bytes) {
  return std::all_of(inputs_.begin(), inputs_.end(),
                     [&](Input& input) { return find_place(&input, bytes_of(input), slot_bytes); });
}

void* RemoteInputs::use_place(int32_t index, unsigned char* slot) {
  Input& input = at(index);
  input.outside = nullptr;
  if (input.is_string) return nullptr;
  unsigned char* place = slot + input.tensor.offset;
  if (input.is_new) std::memset(place, 0, input.capacity);
  input.is_new = false;
  return place;
}

uint64_t RemoteInputs::wanted_bytes() const {
  uint64_t bytes = shm::table_bytes(inputs_.size());
  for (const Input& input : inputs_) bytes += room_for(std::max(bytes_of(input), input.expected));
  return bytes;
}

void RemoteInputs::move(const unsigned char* old_slot) {
  used_ = shm::table_bytes(inputs_.size());
  is_table_written_ = false;
  for (Input& input : inputs_) {
    const bool is_in_place =
        !input.is_string && input.outside == nullptr && input.capacity > 0 && !input.is_new;
    if (is_in_place && old_slot != nullptr) input.outside = old_slot + input.tensor.offset;
    has_outside_ = has_outside_ || input.outside != nullptr;
    input.tensor.offset = used_;
    input.capacity = room_for(std::max(bytes_of(input), input.expected));
    input.is_new = true;
    used_ += input.capacity;
  }
}

bool RemoteInputs::uses(const unsigned char* slot, uint64_t bytes) const noexcept {
  return std::any_of(inputs_.begin(), inputs_.end(), [&](const Input& input) {
    const auto* at = static_cast<const unsigned char*>(input.outside);
    return at != nullptr && at >= slot && at < slot + bytes;
  });
}

bool RemoteInputs::write(unsigned char* slot) {
  for (size_t i = 0; (has_strings_ || has_outside_) && i < inputs_.size(); ++i) {
    Input& input = inputs_[i];
    if (input.is_string) write_strings(&input, slot);
    else if (input.outside != nullptr)
      std::memcpy(slot + input.tensor.offset, input.outside, input.tensor.bytes);
  }
  const bool is_same = is_table_written_;
  for (size_t i = 0; !is_same && i < inputs_.size(); ++i)
    shm::write_entry(slot, i, inputs_[i].tensor);
  is_table_written_ = true;
  return is_same;
}

// Writes the strings in one pass directly into the slot, in the form that PROTOCOL.md specifies:
// offsets first.
void RemoteInputs::write_strings(Input* input, unsigned char* slot) {
  unsigned char* const offsets = slot + input->tensor.offset;
  unsigned char* const text = offsets + shm::string_bytes(input->tensor.elements, 0);
  int64_t end = 0;
  std::memcpy(offsets, &end, sizeof end);
  for (size_t i = 0; i < input->strings.size(); ++i) {
    const std::string& string = input->strings[i];
    if (!string.empty()) std::memcpy(text + end, string.data(), string.size());
    end += static_cast<int64_t>(string.size());
    std::memcpy(offsets + (i + 1) * sizeof end, &end, sizeof end);
  }
  const uint64_t bytes = bytes_of(*input);
  if (input->tensor.bytes != bytes) is_table_written_ = false;
  input->tensor.bytes = bytes;
}

}  // namespace sidecall
