// Fuzzes the signature that a server sends to a client, and that a served function brings.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "core/signature_json.h"

namespace {

void check_tensors(const std::vector<sidecall::TensorSpec>& tensors) {
  std::set<std::string> names;
  for (const sidecall::TensorSpec& tensor : tensors) {
    fuzz::require(sidecall::is_utf8_without_nul(tensor.name), "names in UTF-8");
    fuzz::require(names.insert(tensor.name).second, "each name once");
    fuzz::require(sidecall::is_dtype(tensor.dtype), "a known type");
    fuzz::require(tensor.dim_names.size() == tensor.dims.size(), "a name for each dimension");
    for (const int64_t dim : tensor.dims) fuzz::require(dim >= -1, "sizes, or -1 for a free one");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<sidecall::TensorSpec> inputs, outputs;
  const bool is_read = fuzz::run([&] {
    sidecall::read_signature_text(text, "signature", SIDECALL_INVALID_ARGUMENT, &inputs, &outputs);
  });
  if (!is_read) return 0;
  check_tensors(inputs);
  check_tensors(outputs);
  return 0;
}
