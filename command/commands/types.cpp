// sidecall types: writes the types of a model as source code of another language to stdout.
#include <sidecall/binding.h>
#include <cstdlib>

#include "model/model.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {

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
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_text* text = nullptr;
  const sidecall_status status = sidecall_model_types(
      model.get(), language.c_str(), named->count() > 0 ? name.c_str() : nullptr, &text, &err);
  const Text owner(text);
  if (status != SIDECALL_OK) throw failure_of(uri, status, err);
  out().write({text->data, text->length});
  return kOk;
}

}  // namespace sidecall::cli
