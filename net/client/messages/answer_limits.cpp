// Computes the limits; see answer_limits.h.
#include "answer_limits.h"

#include <sidecall/sidecall.h>

#include "answer_buffer.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {
namespace {

constexpr uint64_t kOfAnswer = UINT64_C(1)
                               << 20;  // names, errors, and outputs that are not asked for
// A number as JSON takes up to 24 bytes, and with spaces more. In binary it takes less.
constexpr uint64_t kOfNumber = 64;
// The length of a string is not known before it arrives. Labels are short, other texts may be long.
constexpr uint64_t kOfString = 1024;
constexpr uint64_t kOfTexts = UINT64_C(16) << 20;
// The limit if the shape of an output is not known. By default, servers of sidecall send no more.
constexpr uint64_t kUnknown = UINT64_C(256) << 20;

}  // namespace

uint64_t max_answer_bytes(const sidecall_net_tensor* outputs, size_t count) noexcept {
  uint64_t bytes = kOfAnswer;
  for (size_t i = 0; i < count; ++i) {
    const bool is_string = outputs[i].dtype == SIDECALL_DTYPE_STRING;
    const int64_t elements = element_count(outputs[i].dims, static_cast<size_t>(outputs[i].rank));
    if (elements < 0) return kUnknown;
    // More elements would be too many for any answer, and their bytes could overflow.
    if (static_cast<uint64_t>(elements) > kShareBytes) return kShareBytes;
    bytes += static_cast<uint64_t>(elements) * (is_string ? kOfString : kOfNumber) +
             (is_string ? kOfTexts : 0);
  }
  return bytes;
}

}  // namespace sidecall::net
