// Reads a request from its slot. Memory that the client can still write is read only once.
#include <algorithm>
#include <cstring>
#include <utility>

#include "slot.h"

namespace sidecall::shm {

namespace {

constexpr int32_t kBool = 9;

// What one string of an input takes besides its characters: an offset and a length here, a
// std::string and the header of its heap block in the engine, and an offset in the engine.
constexpr uint64_t kBytesOfString = 3 * sizeof(int64_t) + sizeof(std::string) + 16;

// The characters of all strings are copied once here, and once more into one text for a served
// function. The memory of the engine's strings is counted in addition.
constexpr uint64_t kCopiesOfText = 2;

// Copies a tensor. Bytes of a bool tensor become 0 or 1, because engines may misbehave on other
// values.
void copy(const Tensor& tensor, const unsigned char* from, void* to) noexcept {
  std::memcpy(to, from, tensor.bytes);
  if (tensor.dtype != kBool) return;
  auto* const bytes = static_cast<unsigned char*>(to);
  for (uint64_t i = 0; i < tensor.bytes; ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
}

}  // namespace

void* OverflowBuffer::resize(uint64_t bytes) {
  if (memory_ && bytes <= capacity_) return memory_.get();
  reset();
  const uint64_t capacity = align_up(std::max<uint64_t>(bytes, 1), kLine);
  memory_.reset(::operator new(capacity, std::align_val_t{kLine}));
  capacity_ = capacity;
  return memory_.get();
}

ServerSlot::ServerSlot(const Service& service, uint64_t max_one_shot, const SlotMemory& memory,
                       const SlotLog& log, MemoryBudget* budget)
    : service_(service),
      max_one_shot_(max_one_shot),
      memory_(memory),
      log_(log),
      inputs_memory_(budget, log.user),
      session_memory_(budget, log.user),
      results_memory_(budget, log.user),
      overflow_memory_(budget, log.user),
      inputs_(service.inputs.size()),
      private_(service.inputs.size()),
      outputs_(service.outputs.size()),
      is_placed_(service.outputs.size()),
      held_(service.outputs.size() + 1) {
  one_shot_.memory = Reservation(budget, log.user);
}

void ServerSlot::begin(uint64_t sequence, bool same_layout, int64_t deadline_ns) {
  if (same_layout && !has_table_)
    violation("request: expected a table, got SAME_LAYOUT in a slot without a valid table");
  sequence_ = sequence;
  deadline_ns_ = deadline_ns;
  stopped_.store(0, std::memory_order_relaxed);
  if (failure_) failure_.reset();
  run_ns_ = 0;
  next_offset_ = table_bytes(outputs_.size());
  std::fill(is_placed_.begin(), is_placed_.end(), char{0});
  is_changed_ = is_one_shot_ = is_resized_ = false;
  if (!same_layout) {
    has_table_ = false;
    read_table(memory_.request, memory_.request_bytes, service_.inputs, "input", &tensors_);
    has_table_ = true;
    is_new_layout_ = true;
  }
  is_same_layout_ = !is_new_layout_;
}

uint64_t ServerSlot::copy_inputs() {
  if (!is_same_layout_) {
    reserve_inputs();
    show_inputs();
  }
  uint64_t copied = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    Private& own = private_[i];
    InputView& view = inputs_[i];
    if (tensor.dtype == SIDECALL_DTYPE_STRING) {
      read_strings(memory_.request, tensor, "input", service_.inputs[i].name, &own.offsets,
                   &own.text);
      note_capacities(i);
      view.data = own.text.data();
      view.bytes = own.text.size();
      view.offsets = own.offsets.data();
    } else if (view.data == own.data.data()) {
      copy(tensor, memory_.request + tensor.offset, own.data.data());
    } else {
      continue;
    }
    copied += tensor.bytes;
  }
  return copied;
}

// Reserves the memory of private copies. The copies are kept for the next request, so the most that
// any request has needed stays reserved for each input.
void ServerSlot::reserve_inputs() {
  uint64_t bytes = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) bytes += copied_bytes(i);
  try {
    inputs_memory_.grow_to(bytes);
  } catch (...) {
    is_dropped_ = true;  // closing the session frees the engine's strings
    throw;
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Private& own = private_[i];
    own.most_bytes = std::max(own.most_bytes, tensors_[i].bytes);
    own.most_elements = std::max(own.most_elements, static_cast<uint64_t>(tensors_[i].elements));
  }
}

uint64_t ServerSlot::copied_bytes(size_t input) const noexcept {
  const Tensor& tensor = tensors_[input];
  const Private& own = private_[input];
  const uint64_t bytes = std::max(own.most_bytes, tensor.bytes);
  if (tensor.dtype == SIDECALL_DTYPE_STRING) {
    return std::max(own.most_elements, static_cast<uint64_t>(tensor.elements)) * kBytesOfString +
           kCopiesOfText * bytes + std::max(own.capacity, tensor.bytes);
  }
  return is_in_place(input) ? 0 : align_up(bytes, kLine);
}

// Computes how much memory the engine's strings have allocated after this request, from the lengths
// of its strings.
void ServerSlot::note_capacities(size_t input) {
  Private& own = private_[input];
  const auto elements = static_cast<size_t>(tensors_[input].elements);
  if (own.capacities.size() != elements) {
    is_resized_ = true;  // the engine makes new strings, unless this request fails before
    own.capacities.assign(elements, 0);
    own.capacity = 0;
  }
  const uint64_t before = own.capacity;
  for (size_t i = 0; i < elements; ++i) {
    const int64_t length = own.offsets[i + 1] - own.offsets[i];
    if (length <= own.capacities[i]) continue;
    const int64_t grown = std::max(length, 2 * own.capacities[i]);
    own.capacity += static_cast<uint64_t>(grown - own.capacities[i]);
    own.capacities[i] = grown;
  }
  if (own.capacity != before) reserve_inputs();
}

void ServerSlot::show_inputs() {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    InputView& view = inputs_[i];
    view.dtype = tensor.dtype;
    view.rank = tensor.rank;
    view.dims = tensor.dims;
    view.elements = tensor.elements;
    view.bytes = tensor.bytes;
    view.offsets = nullptr;
    if (tensor.dtype == SIDECALL_DTYPE_STRING) continue;
    view.data =
        is_in_place(i) ? memory_.request + tensor.offset : private_[i].data.resize(tensor.bytes);
  }
}

int32_t ServerSlot::stop_status() const noexcept {
  const int32_t stopped = stopped_.load(std::memory_order_acquire);
  if (stopped != 0) return stopped;
  if (is_cancelled()) return SIDECALL_CANCELLED;
  return deadline_ns_ >= 0 && now_ns() >= deadline_ns_ ? SIDECALL_TIMEOUT : 0;
}

}  // namespace sidecall::shm
