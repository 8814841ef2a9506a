// The inputs of a call in another process: their places in the request slot, and what is written there. Used by binding.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/signature.h"
#include "shm/common/table.h"

namespace sidecall {

// A numeric input lies in its place in the slot, where its owner writes it, or outside: in its owner's memory, or in a slot that this
// call had before. What lies outside is copied at each run. Strings are kept here and written at each run.
class RemoteInputs {
 public:
  explicit RemoteInputs(const std::vector<TensorSpec>& specs);

  // The shapes that are coming: how much room a new slot should have. Throws OUT_OF_RANGE.
  void expect(const std::vector<Dims>& dims);

  // The shape of an input from the next request on. Strings become empty. Throws OUT_OF_RANGE.
  void shape(int32_t input, const Dims& dims);
  void set_string(int32_t input, int64_t element, std::string_view value);
  void borrow(int32_t input, const void* data);

  // Finds a place for an input of that shape in a slot of so many bytes, before it gets it; or for all that they take now. False where
  // there is no room left, and then wanted_bytes() counts it.
  bool find_place(int32_t input, const Dims& dims, uint64_t slot_bytes);
  bool find_places(uint64_t slot_bytes);

  // Makes an input lie in its place, and gives that. Zeroed where the place is new.
  void* settle(int32_t input, unsigned char* slot);

  uint64_t wanted_bytes() const;  // of a slot with a place for everything

  // All places are new from here on; what lay in `old_slot` (nullptr for none) now lies outside.
  void move(const unsigned char* old_slot);
  bool uses(const unsigned char* slot,
            uint64_t bytes) const noexcept;  // something that lies outside lies there

  // Whether the next write() changes the table, or strings: not under the eyes of a server.
  bool needs_exclusive_write() const noexcept { return has_strings_ || !is_table_written_; }

  // Everything that is not in place yet. True when the table is what it was at the write before.
  bool write(unsigned char* slot);
  void forget_table() noexcept { is_table_written_ = false; }

 private:
  struct Input {
    shm::Tensor tensor;
    uint64_t capacity = 0;  // of its place, at tensor.offset
    uint64_t expected = 0;
    const void* outside = nullptr;
    bool is_new = false;  // its place holds what others left there
    bool is_string = false;
    std::vector<std::string> strings;
    uint64_t text_bytes = 0;
  };

  Input& at(int32_t input) { return inputs_[static_cast<size_t>(input)]; }
  static uint64_t bytes_of(const Input& input) noexcept;
  static uint64_t expected_bytes(const Input& input, const Dims& dims);
  bool find_place(Input* input, uint64_t bytes, uint64_t slot_bytes);
  void write_strings(Input* input, unsigned char* slot);

  std::vector<Input> inputs_;
  uint64_t used_;  // of the slot: table and places
  bool has_strings_ = false;
  bool has_outside_ = false;  // something may lie outside
  bool is_table_written_ = false;
};

}  // namespace sidecall
