// Computes how much room the outputs of a call to another process take, and reads its answers. Used
// by context.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/contract/signature.h"
#include "core/engine.h"
#include "shm/client/client.h"

namespace sidecall {

// Small outputs are copied out of the server's memory. The copy is cheap. Unlike the server's
// memory, the copy does not change while the caller reads it, and the caller may write to it. A
// large output is read in place in two cases: if the shapes of all outputs are known before the
// run, because the output is then at the same address each time; or if the shape of this output is
// not known, because the caller then asks for its address after each run.
class RemoteOutputs {
 public:
  // `may_move`: the call may need another slot although no shape has changed, because string inputs
  // can grow. Outputs whose shapes are known before the run are then always copied.
  RemoteOutputs(const std::vector<TensorSpec>& specs, bool may_move);

  // Announces the shapes that the outputs are going to have; nullopt for a shape that is known only
  // after a run. Throws OUT_OF_RANGE.
  void expect(const std::vector<std::optional<Dims>>& dims);

  // See ExecutionContext::shape_output().
  void* shape(int32_t output, const Dims* dims, void* data);

  uint64_t wanted_bytes() const;  // the size of a slot that holds all outputs of known shape

  // Reads an answer. Throws SHAPE_MISMATCH and OUT_OF_MEMORY. Throws PEER_DIED once if a large
  // output is at another address than before: addresses that the caller has are then stale. From
  // then on that output is copied.
  void read(const shm::Answer& answer);
  void forget_places() noexcept;  // after a run that failed, outputs may move

  // Keeps copies of what is read from the slot later, so that another call can have the slot.
  // Returns false if the last answer is too large for that.
  bool leave_slot() noexcept;

  uint64_t answer_bytes() const;  // the size of a slot that would hold the last answer

  void* data(int32_t output) const { return at(output).data; }
  bool is_read_only(int32_t output) const { return at(output).is_read_only; }
  OutputTensor tensor(int32_t output) const;
  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) const;

 private:
  struct Output {
    TensorSpec spec;
    std::optional<Dims> dims;      // if known before the run
    std::optional<Dims> expected;  // as expect() announced it, until shape() sets `dims`
    void* bound = nullptr;         // the caller's memory
    Buffer own;
    // Where a large output that is read in place lies in the response slot.
    const unsigned char* place = nullptr;
    bool is_copied = false;  // always copy this output, even if it is large
    void* data = nullptr;
    bool is_read_only = false;
    const shm::Tensor* answer = nullptr;
    // Copies, after leave_slot():
    shm::Tensor kept_answer;
    std::string bytes;
    std::vector<int64_t> offsets;
  };

  uint64_t failure_bytes() const;
  const Output& at(int32_t output) const { return outputs_[static_cast<size_t>(output)]; }
  void check_shape(const Output& output) const;
  static bool is_size_known(const Output& output) {
    return output.dims && output.spec.dtype != SIDECALL_DTYPE_STRING;
  }
  bool may_stay(const Output& output) const;
  void* target(Output* output) const;
  void take(Output* output, const unsigned char* from) const;

  std::vector<Output> outputs_;
  const bool may_move_;
  size_t num_known_ = 0;  // how many outputs have a size that is known before the run
  mutable std::optional<uint64_t> wanted_bytes_;  // cached until a shape changes
  const unsigned char* slot_ = nullptr;           // of the last answer; nullptr after leave_slot()
};

}  // namespace sidecall
