// The outputs of a call in another process: how much room they take, and where answers lie. Used by binding.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/engine.h"
#include "core/signature.h"
#include "shm/client/client.h"

namespace sidecall {

// Small answers are copied out of the peer's memory: that costs less than what a caller may do with memory that changes under its hands, or that it cannot
// write. Large ones are read where they lie, if their shapes are known before the run, so that they lie there every time.
class RemoteOutputs {
 public:
  // With `may_move` a call can come to need another slot although no shape has changed, as strings grow: then everything is copied.
  RemoteOutputs(const std::vector<TensorSpec>& specs, bool may_move);

  // The shapes that are coming; nullopt where only a run can tell. Throws OUT_OF_RANGE.
  void expect(const std::vector<std::optional<Dims>>& dims);

  // As Binding::shape_output.
  void* shape(int32_t output, const Dims* dims, void* data);

  uint64_t wanted_bytes() const;  // of a slot that holds all that is known

  // Takes an answer. Throws SHAPE_MISMATCH, OUT_OF_MEMORY, and once PEER_DIED: a large answer lies elsewhere than before, so addresses that
  // the caller has are stale; it is copied from then on.
  void read(const shm::Answer& answer);
  uint64_t answer_bytes() const;  // of the last one, as a slot

  void* data(int32_t output) const { return at(output).data; }
  bool is_read_only(int32_t output) const { return at(output).is_read_only; }
  OutputTensor tensor(int32_t output) const;
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) const;

 private:
  struct Output {
    TensorSpec spec;
    std::optional<Dims> dims;      // known before the run
    std::optional<Dims> expected;  // until then
    void* bound = nullptr;         // the caller's memory
    Buffer own;
    const unsigned char* place = nullptr;  // in the slot, of a large answer that is not copied
    bool is_copied = false;                // although it is large
    void* data = nullptr;
    bool is_read_only = false;
    const shm::Tensor* answer = nullptr;
  };

  uint64_t failure_bytes() const;
  const Output& at(int32_t output) const { return outputs_[static_cast<size_t>(output)]; }
  void check_shape(const Output& output) const;
  static bool is_size_known(const Output& output) {
    return output.dims && output.spec.dtype != SIDECALL_STRING;
  }
  bool may_stay(const Output& output) const;
  void* target(Output* output) const;
  void take(Output* output, const unsigned char* from) const;

  std::vector<Output> outputs_;
  const bool may_move_;
  size_t num_known_ = 0;                          // outputs of a known size
  mutable std::optional<uint64_t> wanted_bytes_;  // since the last change of a shape
  const unsigned char* slot_ = nullptr;           // of the last answer
};

}  // namespace sidecall
