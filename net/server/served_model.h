// The model that a server serves. The server calls it through the C ABI, whose functions and errors
// have a shorter form here. Used by runs.cpp and by what reads requests and writes answers.
#pragma once

#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "net/api/serving.h"
#include "net/common/received.h"

namespace sidecall::net {

// Where functions of the C ABI put their error, with room for all faults. One for each thread,
// because it is large. Throws OUT_OF_MEMORY.
sidecall_error* error_of_thread();

class ServedModel {
 public:
  // `max_fault_bytes` limits the faults of the errors that check() throws.
  ServedModel(const sidecall_net_service& service, size_t max_fault_bytes)
      : service_(service), max_fault_bytes_(max_fault_bytes) {}

  const sidecall_net_service& service() const { return service_; }
  const sidecall_functions& library() const { return *service_.library; }

  // Throws an Error, with the faults, unless the function of the C ABI or of the service that has
  // just got error_of_thread() returned OK and the process goes on.
  void check(int32_t status) const;

  // These throw the errors of the C ABI, and UNKNOWN_NAME.
  sidecall_call* take_call() const;
  void set_tensors(sidecall_call* call, const std::vector<ReceivedTensor>& tensors) const;
  // The number that stands for a missing value at this place of an input.
  int64_t missing_number(const std::string& input, int64_t element) const;
  // Records in the form in which set_records() got them.
  std::string records_of(sidecall_call* call, int32_t is_list) const;
  // Valid until the next run of the call.
  std::vector<sidecall_net_tensor> outputs_of(sidecall_call* call) const;

 private:
  int32_t input_index(const std::string& name) const;

  const sidecall_net_service& service_;
  const size_t max_fault_bytes_;
};

}  // namespace sidecall::net
