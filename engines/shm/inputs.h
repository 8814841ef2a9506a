// Places the inputs of a call to another process in the request slot and writes them there. Used by
// context.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/contract/signature.h"
#include "shm/common/table.h"

namespace sidecall {

// A numeric input is in one of two places. Either it is in the slot, where the caller writes it
// directly; or it is outside: in the caller's memory, or in a slot that this call had before. An
// input outside is copied to the slot at each run. Strings are kept in this object and written to
// the slot at each run.
class RemoteInputs {
 public:
  explicit RemoteInputs(const std::vector<TensorSpec>& specs);

  // Announces the shapes that the inputs are going to have, so that a new slot gets enough room.
  // Throws OUT_OF_RANGE.
  void expect(const std::vector<Dims>& dims);

  // Sets the shape of an input from the next request on. Strings become empty. Throws OUT_OF_RANGE.
  void shape(int32_t input, const Dims& dims);
  void set_string(int32_t input, int64_t element, std::string_view value);
  void borrow(int32_t input, const void* data);

  // Both find places in a slot of `slot_bytes`: find_place() for one input that is going to have
  // the shape `dims`, find_places() for all inputs in their present shapes. They return false if
  // there is no room left; wanted_bytes() then includes the missing room.
  bool find_place(int32_t input, const Dims& dims, uint64_t slot_bytes);
  bool find_places(uint64_t slot_bytes);

  // Makes an input use its place in the slot and returns that place. A new place is zeroed first.
  void* use_place(int32_t input, unsigned char* slot);

  uint64_t wanted_bytes() const;  // the size of a slot that has a place for every input

  // Assigns new places, for a new slot. Inputs that were in `old_slot` (nullptr for none) stay
  // there and count as outside from now on.
  void move(const unsigned char* old_slot);

  // Whether an input that is outside lies within these bytes.
  bool uses(const unsigned char* slot, uint64_t bytes) const noexcept;

  // Whether the next write() changes the table or strings. That must not happen while the server
  // may still read the slot.
  bool needs_exclusive_write() const noexcept { return has_strings_ || !is_table_written_; }

  // Writes everything that is not in the slot yet. Returns true if the table is the same as at the
  // previous write().
  bool write(unsigned char* slot);
  void forget_table() noexcept { is_table_written_ = false; }

 private:
  struct Input {
    shm::Tensor tensor;
    uint64_t capacity = 0;          // bytes of its place, which is at tensor.offset
    uint64_t expected = 0;          // bytes that it is going to need
    const void* outside = nullptr;  // where the input is, or nullptr if it is in its place
    bool is_new = false;            // its place still holds data of an earlier use
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
  uint64_t used_;  // bytes of the slot that the table and the places take
  bool has_strings_ = false;
  bool has_outside_ = false;  // an input may be outside
  bool is_table_written_ = false;
};

}  // namespace sidecall
