// Changes a manifest, usually one of its two parts as JSON, and then usually writes the right sizes
// of the parts, so that both are parsed. The first part, the signature, ends at the first line end.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "mutate_json.h"

namespace {

constexpr size_t kHead = 2 * sizeof(uint64_t);

struct Parts {
  std::string_view signature;  // with its line end
  std::string_view contract;
};

Parts parts_of(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  text.remove_prefix(std::min(kHead, text.size()));
  const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
  return {text.substr(0, end), text.substr(end)};
}

// Returns 0 if the manifest would be too large.
size_t write(std::string_view signature, std::string_view contract, uint8_t* out, size_t max_size) {
  const uint64_t sizes[2] = {signature.size(), contract.size()};
  const size_t size = kHead + signature.size() + contract.size();
  if (size > max_size) return 0;
  std::memcpy(out, sizes, kHead);
  std::copy(signature.begin(), signature.end(), out + kHead);
  std::copy(contract.begin(), contract.end(), out + kHead + signature.size());
  return size;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  fuzz::JsonMutator mutator(seed);
  if (size < kHead || mutator.chance(16)) return LLVMFuzzerMutate(data, size, max_size);
  if (!mutator.chance(4)) {
    const Parts parts = parts_of(data, size);
    const bool is_first = mutator.chance(2);
    const std::string text = mutator.change(is_first ? parts.signature : parts.contract);
    const std::string all(parts.contract);
    const size_t written = text.empty() ? 0
                           : is_first   ? write(text + "\n", all, data, max_size)
                                        : write(std::string(parts.signature), text, data, max_size);
    if (written > 0) return written;
  }
  size = kHead + LLVMFuzzerMutate(data + kHead, size - kHead, max_size - kHead);
  const Parts parts = parts_of(data, size);
  const uint64_t sizes[2] = {parts.signature.size(), parts.contract.size()};
  std::memcpy(data, sizes, kHead);
  return size;
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size,
                                            const uint8_t* second, size_t second_size, uint8_t* out,
                                            size_t max_size, unsigned int seed) {
  fuzz::JsonMutator mutator(seed);
  const Parts own = parts_of(first, first_size), other = parts_of(second, second_size);
  if (mutator.chance(2)) {
    const std::string text = mutator.transplant(own.signature, other.signature);
    return text.empty() ? 0 : write(text + "\n", own.contract, out, max_size);
  }
  const std::string text = mutator.transplant(own.contract, other.contract);
  return text.empty() ? 0 : write(own.signature, text, out, max_size);
}
