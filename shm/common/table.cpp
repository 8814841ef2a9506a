// Copies, checks and writes the tables and string tensors of slots.
#include "table.h"

#include <algorithm>

#include "base/dtype.h"
#include "base/text/utf8.h"
#include "error.h"

namespace sidecall::shm {
namespace {

std::string text_of(const int64_t* dims, size_t rank) {
  std::string text = "[";
  for (size_t i = 0; i < rank; ++i)
    text += (i ? ", " : "") + (dims[i] < 0 ? std::string("?") : std::to_string(dims[i]));
  return text + "]";
}

// Throws PROTOCOL for one tensor. The text may contain shapes: they are not values of the data, and
// they help to find out which side is wrong.
[[noreturn]] void refuse(const char* what, const std::string& name, const std::string& text) {
  violation(std::string(what) + " '" + name + "': " + text);
}

void check_dims(const TensorEntry& entry, const TensorSpec& spec, const char* what) {
  if (spec.is_shaped && entry.rank != spec.dims.size())
    refuse(what, spec.name,
           "expected rank " + std::to_string(spec.dims.size()) + ", got " +
               std::to_string(entry.rank));
  const Dims& dims = spec.dims;
  for (size_t i = 0; i < entry.rank; ++i)
    if (entry.dims[i] < 0 || (spec.is_shaped && dims[i] >= 0 && dims[i] != entry.dims[i]))
      refuse(what, spec.name,
             "expected shape " + text_of(dims.data(), dims.size()) + ", got " +
                 text_of(entry.dims, entry.rank));
  for (size_t i = entry.rank; i < kMaxRank; ++i)
    if (entry.dims[i] != 0) refuse(what, spec.name, "expected zeroes beyond the rank");
}

void check_place(const Tensor& tensor, const TensorSpec& spec, uint64_t slot_bytes, uint64_t table,
                 const char* what) {
  if (tensor.offset % kLine != 0 || tensor.offset < table || tensor.offset > slot_bytes ||
      tensor.bytes > slot_bytes - tensor.offset)
    refuse(what, spec.name, "it does not lie in its slot");
  if (tensor.dtype == SIDECALL_DTYPE_STRING) {
    if (static_cast<uint64_t>(tensor.elements) >= tensor.bytes / sizeof(int64_t))
      refuse(what, spec.name, "it is too short for its offsets");
    return;
  }
  uint64_t expected = 0;
  if (!count_bytes(tensor.dtype, tensor.elements, &expected) || expected != tensor.bytes)
    refuse(what, spec.name, "its size does not match its shape");
}

}  // namespace

bool count_elements(const int64_t* dims, uint32_t rank, int64_t* elements) noexcept {
  int64_t product = 1;
  bool is_empty = false;
  for (uint32_t i = 0; i < rank; ++i) {
    if (dims[i] < 0) return false;
    if (dims[i] == 0) is_empty = true;
    else if (__builtin_mul_overflow(product, dims[i], &product)) return false;
  }
  *elements = is_empty ? 0 : product;
  return true;
}

bool count_bytes(int32_t dtype, int64_t elements, uint64_t* bytes) noexcept {
  const auto count = static_cast<uint64_t>(elements);
  const auto bits = static_cast<uint64_t>(dtype_bits(dtype));
  if (bits == 0 || count > static_cast<uint64_t>(INT64_MAX) / 8) return false;
  *bytes = bits == 4 ? (count + 1) / 2 : count * (bits / 8);
  return true;
}

void read_table(const unsigned char* slot, uint64_t slot_bytes,
                const std::vector<TensorSpec>& specs, const char* what,
                std::vector<Tensor>* tensors) {
  const uint64_t table = sizeof(TensorEntry) * specs.size();
  if (table > slot_bytes)
    violation(std::string("the table of ") + what + "s does not fit its slot");
  tensors->resize(specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    TensorEntry entry;
    snapshot(&entry, slot + sizeof(TensorEntry) * i);
    const TensorSpec& spec = specs[i];
    if (entry.dtype != spec.dtype)
      refuse(
          what, spec.name,
          "expected type " + std::to_string(spec.dtype) + ", got " + std::to_string(entry.dtype));
    if (entry.rank > kMaxRank) refuse(what, spec.name, "expected a rank of at most 16");
    check_dims(entry, spec, what);
    if (std::any_of(entry.zero, entry.zero + sizeof entry.zero,
                    [](uint8_t byte) { return byte != 0; }))
      refuse(what, spec.name, "expected zeroes at the end of its entry");
    Tensor tensor;
    tensor.dtype = entry.dtype;
    tensor.rank = entry.rank;
    tensor.offset = entry.offset;
    tensor.bytes = entry.bytes;
    std::copy_n(entry.dims, kMaxRank, tensor.dims);
    if (!count_elements(tensor.dims, tensor.rank, &tensor.elements))
      refuse(what, spec.name, "its shape has too many elements");
    check_place(tensor, spec, slot_bytes, table, what);
    (*tensors)[i] = tensor;
  }
}

void check_rows(const std::vector<TensorSpec>& specs, const std::vector<Tensor>& tensors) {
  const Tensor* first = nullptr;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!specs[i].has_rows()) continue;
    if (!first) first = &tensors[i];
    if (tensors[i].dims[0] != first->dims[0])
      refuse("input", specs[i].name,
             "expected " + std::to_string(first->dims[0]) + " rows, got " +
                 std::to_string(tensors[i].dims[0]));
  }
}

void write_entry(unsigned char* slot, size_t index, const Tensor& tensor) noexcept {
  TensorEntry entry{};
  entry.dtype = tensor.dtype;
  entry.rank = tensor.rank;
  entry.offset = tensor.offset;
  entry.bytes = tensor.bytes;
  std::copy_n(tensor.dims, tensor.rank, entry.dims);
  std::memcpy(slot + sizeof entry * index, &entry, sizeof entry);
}

uint64_t place(std::vector<Tensor>* tensors) noexcept {
  uint64_t offset = table_bytes(tensors->size());
  for (Tensor& tensor : *tensors) {
    tensor.offset = offset;
    offset = align_up(offset + tensor.bytes, kLine);
  }
  return offset;
}

void read_strings(const unsigned char* slot, const Tensor& tensor, const char* what,
                  const std::string& name, std::vector<int64_t>* offsets, std::string* bytes,
                  bool is_text) {
  const auto count = static_cast<size_t>(tensor.elements) + 1;
  const uint64_t text_bytes = tensor.bytes - count * sizeof(int64_t);
  const unsigned char* at = slot + tensor.offset;
  offsets->resize(count);
  std::memcpy(offsets->data(), at, count * sizeof(int64_t));
  bytes->assign(reinterpret_cast<const char*>(at) + count * sizeof(int64_t), text_bytes);
  // Keeps the compiler from reading the shared memory again, as in snapshot().
  asm volatile("" : : "r"(offsets->data()), "r"(bytes->data()) : "memory");
  if (offsets->front() != 0 || static_cast<uint64_t>(offsets->back()) != text_bytes ||
      !std::is_sorted(offsets->begin(), offsets->end()))
    refuse(what, name,
           "its string offsets must start at 0, never decrease and end at the size of its text");
  if (!is_text) return;
  if (!is_utf8_without_nul(*bytes)) refuse(what, name, "expected UTF-8 without NUL");
  for (const int64_t offset : *offsets)
    if (static_cast<uint64_t>(offset) < text_bytes &&
        continues_character((*bytes)[static_cast<size_t>(offset)]))
      refuse(what, name, "a string begins inside a character");
}

uint64_t string_bytes(int64_t elements, uint64_t text_bytes) noexcept {
  return (static_cast<uint64_t>(elements) + 1) * sizeof(int64_t) + text_bytes;
}

void write_strings(unsigned char* at, const int64_t* offsets, int64_t elements,
                   std::string_view bytes) noexcept {
  const size_t count = static_cast<size_t>(elements) + 1;
  std::memcpy(at, offsets, count * sizeof(int64_t));
  if (!bytes.empty()) std::memcpy(at + count * sizeof(int64_t), bytes.data(), bytes.size());
}

}  // namespace sidecall::shm
