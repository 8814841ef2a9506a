// Estimates memory; see json_memory.h.
#include "json_memory.h"

#include <sidecall/sidecall.h>

#include <algorithm>

#include "base/dtype.h"

namespace sidecall {
namespace {

// The number of elements of one row of a tensor.
uint64_t elements_of_row(const int64_t* dims, int32_t rank) noexcept {
  uint64_t count = 1;
  for (int32_t k = 1; k < rank; ++k) count *= static_cast<uint64_t>(std::max<int64_t>(dims[k], 1));
  return count;
}

}  // namespace

// Counts what is outside of strings. A text that is not JSON is read only up to its first fault,
// and up to there the counts are right too.
uint64_t memory_for_json(std::string_view text) noexcept {
  constexpr uint64_t kInDocument = 16;  // of a value or name
  // While the list or object around it is read, a value is on the stack of the parser. The stack
  // grows by half and is copied then, so a value takes 40 bytes at most, and later 24 and those in
  // the document. Measured with 10 million numbers of one digit: 38 in all.
  constexpr uint64_t kOnStack = 32;
  constexpr uint64_t kOfLevel = 64;  // the same, and what the parser remembers of an open list
  uint64_t values = 1, on_stack = 1, level = 0, deepest = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        while (++i < text.size() && text[i] != '"') i += text[i] == '\\' ? 1 : 0;
        break;
      case ',':
      case ':':
        ++values;
        ++on_stack;
        break;
      case '[':
      case '{':
        // The first value in it. It leaves the stack when the list ends, so only open lists count
        // there.
        ++values;
        deepest = std::max(deepest, ++level);
        break;
      case ']':
      case '}':
        if (level > 0) --level;
        break;
      default:
        break;
    }
  }
  return kInDocument * values + kOnStack * on_stack + kOfLevel * deepest;
}

// For each element: its bytes in the input, and one byte of the call's state.
void RecordMemory::add_input(int32_t dtype, const int64_t* dims, int32_t rank) noexcept {
  const uint64_t width = dtype == SIDECALL_DTYPE_STRING
                             ? kBytesOfString
                             : static_cast<uint64_t>(dtype_bits(dtype)) / 8;
  bytes_of_record_ += elements_of_row(dims, rank) * (1 + width);
}

void RecordMemory::add_output(const int64_t* dims, int32_t rank) noexcept {
  bytes_of_record_ += elements_of_row(dims, rank) * kAnswer;
}

uint64_t RecordMemory::of(std::string_view json) const noexcept {
  const auto records = static_cast<uint64_t>(std::count(json.begin(), json.end(), '{'));
  return json.size() + records * bytes_of_record_;
}

}  // namespace sidecall
