// The tables of a slot: written by the side that owns the slot, copied once and checked by the other. Used by client and server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "layout.h"

namespace sidecall::shm {

// Copies what the peer can write, once: whatever is checked and used afterwards is the copy. The empty statement keeps the compiler from reading the
// original again in its place.
template <typename T>
void snapshot(T* copy, const void* shared) noexcept {
  std::memcpy(copy, shared, sizeof(T));
  asm volatile("" : : "r"(copy) : "memory");
}

// What a tensor must be: an input or output of the signature. -1 in `dims` is free, and all of it where it is not shaped.
struct TensorSpec {
  std::string name;
  int32_t dtype = 0;
  std::vector<int64_t> dims;
  bool is_shaped = true;
};

// A tensor in a slot: the checked copy of its entry. It lies inside the slot; dims and bytes fit each other; nothing of it lies where the peer can write.
struct Tensor {
  int32_t dtype = 0;
  uint32_t rank = 0;
  uint64_t offset = 0;  // from the slot's start
  uint64_t bytes = 0;
  int64_t elements = 0;
  int64_t dims[kMaxRank] = {};
};

// Bits of an element by ONNX number; 0 for strings and for numbers that are no type.
int32_t dtype_bits(int32_t dtype) noexcept;
bool is_dtype(int32_t dtype) noexcept;
constexpr int32_t kString = 8;

// How many elements, and bytes for other than strings. False where a dimension is negative or the number does not fit 63 bits.
bool count_elements(const int64_t* dims, uint32_t rank, int64_t* elements) noexcept;
bool count_bytes(int32_t dtype, int64_t elements, uint64_t* bytes) noexcept;

// Copies the table of a slot of `slot_bytes` and checks everything that PROTOCOL.md says of tables, except what strings hold. `what` is "input" or
// "output". `tensors` has one entry per spec afterwards and does not grow again. Throws PROTOCOL. The rows that inputs must agree on are
// checked by check_rows.
void read_table(const unsigned char* slot, uint64_t slot_bytes,
                const std::vector<TensorSpec>& specs, const char* what,
                std::vector<Tensor>* tensors);

// Throws PROTOCOL unless all tensors whose spec has a free first dimension agree on it.
void check_rows(const std::vector<TensorSpec>& specs, const std::vector<Tensor>& tensors);

// Writes one entry of the table.
void write_entry(unsigned char* slot, size_t index, const Tensor& tensor) noexcept;

// Where tensors lie that follow each other in the order of the signature after the table, each on a line of its own: how both our sides lay out slots.
// Fills the offsets from bytes, and returns what the slot must hold.
uint64_t place(std::vector<Tensor>* tensors) noexcept;

// A string tensor as private memory: copies first, then checks that offsets start at 0, never fall and end at the number of bytes; and for requests, which
// promise it, that the bytes are UTF-8 without NUL and the offsets cut no character. What a model answers may be any bytes. Throws PROTOCOL.
void read_strings(const unsigned char* slot, const Tensor& tensor, const char* what,
                  const std::string& name, std::vector<int64_t>* offsets, std::string* bytes,
                  bool is_text = true);

// Bytes that a string tensor takes, and the tensor itself from its parts.
uint64_t string_bytes(int64_t elements, uint64_t text_bytes) noexcept;
void write_strings(unsigned char* at, const int64_t* offsets, int64_t elements,
                   std::string_view bytes) noexcept;

bool is_utf8(std::string_view text) noexcept;  // and without NUL

}  // namespace sidecall::shm
