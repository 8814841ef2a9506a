// The tables of a slot. The side that owns the slot writes them; the other side copies them once
// and checks the copy. Used by client and server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor_spec.h"
#include "layout.h"

namespace sidecall::shm {

// Copies memory that the peer can write, once. Only the copy is then checked and used. The empty
// asm statement keeps the compiler from reading the original again.
template <typename T>
void snapshot(T* copy, const void* shared) noexcept {
  std::memcpy(copy, shared, sizeof(T));
  asm volatile("" : : "r"(copy) : "memory");
}

// A tensor in a slot: the checked copy of its table entry. The tensor lies inside the slot, and its
// dims and bytes agree. The struct is in private memory that the peer cannot write.
struct Tensor {
  int32_t dtype = 0;
  uint32_t rank = 0;
  uint64_t offset = 0;  // from the start of the slot
  uint64_t bytes = 0;
  int64_t elements = 0;
  int64_t dims[kMaxRank] = {};
};

// Compute the number of elements, and the number of bytes for dtypes other than strings. They
// return false if a dimension is negative or the result does not fit 63 bits.
bool count_elements(const int64_t* dims, uint32_t rank, int64_t* elements) noexcept;
bool count_bytes(int32_t dtype, int64_t elements, uint64_t* bytes) noexcept;

// Copies the table of a slot of `slot_bytes` and checks everything that PROTOCOL.md requires of
// tables, except the contents of strings. `what` is "input" or "output". Afterwards `tensors` has
// one entry per spec; later calls with the same specs do not reallocate it. Throws PROTOCOL. Does
// not check whether the inputs have the same number of rows; check_rows does.
void read_table(const unsigned char* slot, uint64_t slot_bytes,
                const std::vector<TensorSpec>& specs, const char* what,
                std::vector<Tensor>* tensors);

// Throws PROTOCOL unless all tensors whose spec has a free first dimension have the same size in
// that dimension.
void check_rows(const std::vector<TensorSpec>& specs, const std::vector<Tensor>& tensors);

// Writes one entry of the table in a slot.
void write_entry(unsigned char* slot, size_t index, const Tensor& tensor) noexcept;

// Sets the offsets of the tensors from their bytes and returns the size that the slot needs. The
// tensors follow the table in the order of the signature, each on a new cache line. Our client and
// our server both lay out slots in this way.
uint64_t place(std::vector<Tensor>* tensors) noexcept;

// Copies a string tensor into private memory and then checks the copy: the offsets start at 0,
// never decrease, and end at the number of bytes. With `is_text`, as PROTOCOL.md requires of
// requests, also checks that the bytes are UTF-8 without NUL and that no offset lies inside a
// character. The strings of a model's answer may hold any bytes. Throws PROTOCOL.
void read_strings(const unsigned char* slot, const Tensor& tensor, const char* what,
                  const std::string& name, std::vector<int64_t>* offsets, std::string* bytes,
                  bool is_text = true);

// string_bytes returns the number of bytes that a string tensor takes; write_strings writes the
// tensor from its parts.
uint64_t string_bytes(int64_t elements, uint64_t text_bytes) noexcept;
void write_strings(unsigned char* at, const int64_t* offsets, int64_t elements,
                   std::string_view bytes) noexcept;

}  // namespace sidecall::shm
