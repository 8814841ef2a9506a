// Changes a contract, usually as JSON.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "mutate_json.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  fuzz::JsonMutator mutator(seed);
  if (mutator.chance(4)) return LLVMFuzzerMutate(data, size, max_size);
  const std::string text = mutator.change({reinterpret_cast<const char*>(data), size});
  if (text.empty() || text.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size,
                                            const uint8_t* second, size_t second_size, uint8_t* out,
                                            size_t max_size, unsigned int seed) {
  const std::string text =
      fuzz::JsonMutator(seed).transplant({reinterpret_cast<const char*>(first), first_size},
                                         {reinterpret_cast<const char*>(second), second_size});
  if (text.size() > max_size) return 0;
  std::memcpy(out, text.data(), text.size());
  return text.size();
}
