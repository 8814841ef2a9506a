// Changes a manifest, and then usually writes the right sizes of its two parts, so that both parts
// are parsed. The first part, the signature, ends at the first line end.
#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  constexpr size_t kHead = 2 * sizeof(uint64_t);
  if (size < kHead || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  size = kHead + LLVMFuzzerMutate(data + kHead, size - kHead, max_size - kHead);
  const void* const line_end = std::memchr(data + kHead, '\n', size - kHead);
  const size_t end = line_end == nullptr
                         ? size
                         : static_cast<size_t>(static_cast<const uint8_t*>(line_end) - data) + 1;
  const uint64_t parts[2] = {end - kHead, size - end};
  std::memcpy(data, parts, kHead);
  return size;
}
