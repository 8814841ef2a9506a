// Fuzzes the manifest of a server: any bytes, opened as a model. A model that opens has a valid
// signature, and exactly the contract that the manifest holds.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engines/shm/engine.h"
#include "tests/fuzz/check_signature.h"
#include "tests/fuzz/hostile_server.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  fuzz::with_server({}, [bytes](fuzz::Server* server) {
    server->set_manifest(bytes);
    sidecall_model_options options{};
    options.timeout_ns = -1;
    fuzz::run([&] {
      const auto model = sidecall::open_remote("shm:/hostile", options);
      const sidecall::Signature& signature = model->signature();
      fuzz::check_tensors(signature.inputs);
      fuzz::check_tensors(signature.outputs);
      fuzz::require(model->is_verified(), "golden rows that passed where the server is");
      if (model->contract() == nullptr) return;
      fuzz::check_signature(signature, *model->contract());
      const std::string& contract = model->contract()->text;
      fuzz::require(bytes.substr(bytes.size() - contract.size()) == contract,
                    "the contract as sent");
    });
  });
  return 0;
}
