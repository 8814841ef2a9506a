// sidecall types: writes the types of a model as source code of another language to stdout.
#include <cstdlib>

#include "core/contract/contract.h"
#include "core/contract/signature.h"
#include "core/error.h"
#include "core/uri.h"
#include "languages.h"
#include "model/model.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

std::vector<TensorSpec> tensors_of(const sidecall_model* model, int32_t count,
                                   const sidecall_tensor_spec* (*spec_of)(const sidecall_model*,
                                                                          int32_t)) {
  std::vector<TensorSpec> tensors;
  for (int32_t i = 0; i < count; ++i) {
    const sidecall_tensor_spec& spec = *spec_of(model, i);
    TensorSpec tensor;
    tensor.name = spec.name;
    tensor.dtype = spec.dtype;
    tensor.dims.assign(spec.dims, spec.dims + spec.rank);
    tensor.dim_names.assign(spec.dim_names, spec.dim_names + spec.rank);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

// A name for a model whose contract gives none: "fraud" for models/fraud.onnx,
// shm:/run/app/fraud.sock and http://host/fraud?wait=1, and "" for a command that starts a server.
std::string title_of(const sidecall_model* model, const std::string& uri) {
  const int32_t route = sidecall_model_route(model);
  const std::string path =
      route == SIDECALL_ROUTE_IN_PROCESS ? read_file_uri(uri).path : uri.substr(0, uri.find('?'));
  if (route == SIDECALL_ROUTE_OTHER_PROCESS && path.find(' ') != std::string::npos) return "";
  const std::string base = path.substr(path.find_last_of(":/") + 1);
  return base.substr(0, base.rfind('.'));
}

// The types of an open model. Throws the errors of types_source().
std::string types_of(const sidecall_model* model, const std::string& uri,
                     const std::string& language, const char* name) {
  Signature signature;
  signature.inputs = tensors_of(model, sidecall_model_num_inputs(model), sidecall_model_input_spec);
  signature.outputs =
      tensors_of(model, sidecall_model_num_outputs(model), sidecall_model_output_spec);
  signature.index_tensors();
  size_t length = 0;
  const char* const json = sidecall_model_contract(model, &length);
  const std::string id = sidecall_model_id(model);
  if (json == nullptr) {
    signature.index_records();
    return types_source(language, signature, nullptr, id, title_of(model, uri), name);
  }
  ContractDocument document(std::string(json, length), "the contract");
  // The tensors are those that callers see: without the output that tells which rows are refused.
  constexpr bool kHasGraph = false;
  const Contract contract = document.read(kHasGraph, &signature);
  signature.index_records();
  return types_source(language, signature, &contract, id,
                      contract.name.empty() ? title_of(model, uri) : contract.name, name);
}

}  // namespace

int run_types(const Command& self, std::vector<std::string> words) {
  Arguments arguments(
      self,
      "Writes an interface for open<NAME>() of the Node.js package: `predict` then\n"
      "accepts only the model's features, and its labels are a union type. In Python,\n"
      "NAMEFeatures is the type of a record and NAMEAnswer that of its answer, as\n"
      "TypedDicts (python) or as models that check values (pydantic). For Go, Rust\n"
      "and Java, the types are structs and records for the bindings of these\n"
      "languages.");
  ModelOptions options;
  options.verify = "off";
  std::string uri;
  std::string language = "typescript";
  std::string name;
  arguments.app.add_option("MODEL", uri, kModelHelp)->required()->option_text(" ");
  const CLI::Option* named =
      arguments.app
          .add_option("--name", name,
                      "name of the types (default: made from the name of the model)")
          ->option_text("NAME");
  arguments.app
      .add_option(
          "--lang", language,
          "language of the types: typescript (default), python, pydantic, go, rust or java;\n"
          "java:jackson adds annotations of Jackson, java:builder a builder,\n"
          "java:builder,jackson both")
      ->check(one_of({"typescript", "python", "pydantic", "go", "rust", "java", "java:jackson",
                      "java:builder", "java:builder,jackson"}))
      ->option_text("LANGUAGE");
  add_route_options(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  unsetenv("SIDECALL_VERIFY");  // the types do not depend on verification
  const Model model = open_model(uri, options);
  try {
    out().write(types_of(model.get(), uri, language, named->count() > 0 ? name.c_str() : nullptr));
  } catch (const Error& error) {
    throw Failure(exit_code_of(error.status()), uri + ": " + error.what());
  }
  return kOk;
}

}  // namespace sidecall::cli
