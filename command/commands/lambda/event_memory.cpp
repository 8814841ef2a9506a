// Estimates the memory of events; see event_memory.hpp.
#include "event_memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace sidecall::cli {
namespace {

// The memory that this process holds; 0 if the system does not tell. The peak in getrusage() may be
// that of the process that started this one.
uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

EventMemory::EventMemory(const sidecall_model* model, const std::string& function_mib) {
  for (int32_t i = 0; i < sidecall_model_num_inputs(model); ++i) {
    const sidecall_tensor_spec* const spec = sidecall_model_input_spec(model, i);
    records_.add_input(spec->dtype, spec->dims, spec->rank);
  }
  for (int32_t i = 0; i < sidecall_model_num_outputs(model); ++i) {
    const sidecall_tensor_spec* const spec = sidecall_model_output_spec(model, i);
    records_.add_output(spec->dims, spec->rank);
  }
  uint64_t mib = 0;
  std::from_chars(function_mib.data(), function_mib.data() + function_mib.size(), mib);
  if (mib == 0) return;
  // An eighth remains for Lambda's own programs, and for memory that the estimates do not count.
  const uint64_t all = (mib << 20U) / 8 * 7;
  left_ = all - std::min(all, resident_bytes());
}

uint64_t EventMemory::of_records(std::string_view json) const { return records_.of(json); }

}  // namespace sidecall::cli
