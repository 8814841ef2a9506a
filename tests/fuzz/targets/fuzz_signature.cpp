// Fuzzes the signature that a server sends to a client, and that a served function brings.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/contract/signature_json.h"
#include "tests/fuzz/check_signature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<sidecall::TensorSpec> inputs, outputs;
  const bool is_read = fuzz::run([&] {
    sidecall::read_signature_text(text, "signature", SIDECALL_INVALID_ARGUMENT, &inputs, &outputs);
  });
  if (!is_read) return 0;
  fuzz::check_tensors(inputs);
  fuzz::check_tensors(outputs);
  return 0;
}
