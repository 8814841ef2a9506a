// Fuzzes the contract parser, and the writers of types: any text, with a fixed graph that has
// tensors of every kind.
#include <cstddef>
#include <cstdint>
#include <string>

#include "command/types/languages.h"
#include "core/contract/contract.h"
#include "fake_engine.h"
#include "records_model.h"
#include "tests/fuzz/check_signature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fake::RecordsModel model;
  const std::string json(reinterpret_cast<const char*>(data), size);
  sidecall::Signature signature;
  model.engine.sign(&signature);
  sidecall::Contract contract;
  if (!fuzz::run([&] {
        sidecall::ContractDocument document(json, "fuzz");
        fuzz::run([&] { document.proven_version("native"); });
        contract = document.read(true, &signature);
      }))
    return 0;
  signature.index_records();
  fuzz::check_signature(signature, contract);
  fuzz::require(contract.text == json, "the contract as stored");
  // A model with an accepted contract has types in every language.
  for (const char* language : {"typescript", "python", "pydantic", "go", "rust"}) {
    const std::string source =
        sidecall::types_source(language, signature, &contract, contract.id, contract.name, nullptr);
    fuzz::require(sidecall::is_utf8_without_nul(source), "types in UTF-8");
  }
  fuzz::run([&] {  // Java refuses models with many features
    sidecall::types_source("java", signature, &contract, contract.id, contract.name, nullptr);
  });
  // A model with an accepted contract can be called, whether the run succeeds or fails.
  sidecall::Call call(signature, model.engine, false, 2);
  fuzz::run([&] {
    call.clear();
    call.run(-1);
  });
  return 0;
}
