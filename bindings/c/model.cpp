// sidecall_model_*, records as JSON, and the engine: checks pointers and forwards to core/model.h.
#include <sidecall/binding.h>

#include "base/dtype.h"
#include "core/abi/guard.h"
#include "core/abi/handles.h"
#include "core/abi/texts.h"
#include "core/verify.h"
#include "engines/choice/engine.h"
#include "engines/choice/route.h"
#include "engines/oip/describe.h"
#include "engines/oip/engine.h"
#include "engines/onnxruntime/library.h"
#include "open_model.h"
#include "structs.h"

using sidecall::Error;
using sidecall::guard;
using sidecall::make_text;
using sidecall::Model;
using sidecall::read_model_options;
using sidecall::require;
using sidecall::Signature;

namespace {

void require_number(bool is_right, const char* name, const char* expected, int64_t got) {
  if (!is_right)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                std::string(name) + ": expected " + expected + ", got " + std::to_string(got));
}

template <typename Spec>
const Spec* at(const std::vector<Spec>& specs, int32_t index) {
  return index >= 0 && static_cast<size_t>(index) < specs.size()
             ? &specs[static_cast<size_t>(index)]
             : nullptr;
}

const sidecall::Names& names_of(const Signature& signature, int32_t kind) {
  switch (kind) {
    case SIDECALL_KIND_INPUT:
      return signature.input_names;
    case SIDECALL_KIND_OUTPUT:
      return signature.output_names;
    case SIDECALL_KIND_FEATURE:
      return signature.feature_names;
    case SIDECALL_KIND_COLUMN:
      return signature.column_names;
    default:
      throw Error(SIDECALL_INVALID_ARGUMENT,
                  "kind: expected a SIDECALL_KIND_* value, got " + std::to_string(kind));
  }
}

template <typename Specs>
std::string list_names(const Specs& specs) {
  constexpr size_t kMost = 8;
  std::string text;
  for (size_t i = 0; i < specs.size() && i < kMost; ++i)
    text += (i == 0 ? "'" : ", '") + specs[i].name + "'";
  if (specs.size() > kMost) text += " and " + std::to_string(specs.size() - kMost) + " more";
  return specs.empty() ? "none" : text;
}

[[noreturn]] void fail_unknown(const Signature& signature, int32_t kind, const std::string& name) {
  static constexpr const char* kKinds[] = {"input", "output", "feature", "column"};
  const std::string known = kind == SIDECALL_KIND_INPUT     ? list_names(signature.inputs)
                            : kind == SIDECALL_KIND_OUTPUT  ? list_names(signature.outputs)
                            : kind == SIDECALL_KIND_FEATURE ? list_names(signature.features)
                                                            : list_names(signature.columns);
  throw Error(kKinds[kind],
              {SIDECALL_UNKNOWN_NAME, -1, name, "one of " + known, "an unknown name"});
}

int32_t find(const sidecall_model* model, int32_t kind, const char* name) {
  return model == nullptr || name == nullptr ? -1
                                             : names_of(model->model->signature(), kind).find(name);
}

}  // namespace

namespace sidecall {

sidecall_model_options read_model_options(const sidecall_model_options* options) {
  const sidecall_model_options defaults = sidecall::default_model_options();
  if (options == nullptr) return defaults;
  const sidecall_model_options known = sidecall::read_struct(options, defaults, "options");
  require_number(known.verify >= SIDECALL_VERIFY_ERROR && known.verify <= SIDECALL_VERIFY_OFF,
                 "options.verify", "a SIDECALL_VERIFY_* value", known.verify);
  require_number(known.extra == SIDECALL_EXTRA_ERROR || known.extra == SIDECALL_EXTRA_IGNORE,
                 "options.extra", "a SIDECALL_EXTRA_* value", known.extra);
  require_number(
      known.engine >= SIDECALL_ENGINE_AUTO && known.engine <= SIDECALL_ENGINE_ONNXRUNTIME,
      "options.engine", "a SIDECALL_ENGINE_* value", known.engine);
  require_number(known.allow_exec == 0 || known.allow_exec == 1, "options.allow_exec", "0 or 1",
                 known.allow_exec);
  require_number(known.timeout_ns == -1 || known.timeout_ns > 0, "options.timeout_ns",
                 "more than 0, or -1", known.timeout_ns);
  require_number(known.wait_ns >= -1, "options.wait_ns", "0 or more, or -1", known.wait_ns);
  return known;
}

sidecall_model* open_model(const char* uri, const sidecall_model_options& options) {
  return new sidecall_model(open_uri(uri, options));
}

sidecall_model* open_model_bytes(std::string bytes, const sidecall_model_options& options) {
  return new sidecall_model(Model::open_bytes(std::move(bytes), options, open_local_engine));
}

}  // namespace sidecall

extern "C" {

uint32_t sidecall_abi_version(void) { return SIDECALL_ABI_VERSION; }

#define TEXT_OF(number) #number
#define DOTTED(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
const char* sidecall_version(void) {
  return DOTTED(SIDECALL_VERSION_MAJOR, SIDECALL_VERSION_MINOR, SIDECALL_VERSION_PATCH);
}

const char* sidecall_dtype_name(int32_t dtype) { return sidecall::dtype_name(dtype); }

int32_t sidecall_dtype_bits(int32_t dtype) { return sidecall::dtype_bits(dtype); }

sidecall_status sidecall_model_open(const char* uri, const sidecall_model_options* options,
                                    sidecall_model** out_model, sidecall_error* err) {
  if (out_model != nullptr) *out_model = nullptr;
  return guard(err, [&] {
    require(uri != nullptr && out_model != nullptr, "uri and out_model must not be NULL");
    *out_model = sidecall::open_model(uri, read_model_options(options));
  });
}

sidecall_status sidecall_model_open_bytes(const void* data, size_t length,
                                          const sidecall_model_options* options,
                                          sidecall_model** out_model, sidecall_error* err) {
  if (out_model != nullptr) *out_model = nullptr;
  return guard(err, [&] {
    require(data != nullptr && out_model != nullptr, "data and out_model must not be NULL");
    *out_model = sidecall::open_model_bytes(std::string(static_cast<const char*>(data), length),
                                            read_model_options(options));
  });
}

void sidecall_model_close(sidecall_model* model) { delete model; }

const char* sidecall_model_contract(const sidecall_model* model, size_t* out_length) {
  const sidecall::Contract* contract = model == nullptr ? nullptr : model->model->contract();
  if (out_length != nullptr) *out_length = contract == nullptr ? 0 : contract->text.size();
  return contract == nullptr ? nullptr : contract->text.c_str();
}

const char* sidecall_model_name(const sidecall_model* model) {
  return model == nullptr || model->model->contract() == nullptr
             ? ""
             : model->model->contract()->name.c_str();
}

const char* sidecall_model_version(const sidecall_model* model) {
  return model == nullptr || model->model->contract() == nullptr
             ? ""
             : model->model->contract()->version.c_str();
}

const char* sidecall_model_id(const sidecall_model* model) {
  const char* id = "";
  guard(nullptr, [&] {
    if (model != nullptr) id = model->model->id().c_str();
  });
  return id;
}

const char* sidecall_model_engine(const sidecall_model* model) {
  return model == nullptr ? "" : model->model->engine_version().c_str();
}

int32_t sidecall_model_route(const sidecall_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->model->engine().route());
}

const char* sidecall_model_engine_reason(const sidecall_model* model) {
  return model == nullptr ? "" : model->model->engine_reason().c_str();
}

const char* sidecall_model_warning(const sidecall_model* model) {
  return model == nullptr || model->model->warning().empty() ? nullptr
                                                             : model->model->warning().c_str();
}

void sidecall_text_close(sidecall_text* text) { delete static_cast<sidecall::OwnedText*>(text); }

sidecall_status sidecall_model_verify(const sidecall_model* model, sidecall_text** out,
                                      sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(model != nullptr && out != nullptr, "model and out must not be NULL");
    if (model->model->contract() == nullptr)
      throw Error(SIDECALL_NO_CONTRACT,
                  "verification needs a contract, and the model has none: export it with "
                  "sidecall.export");
    sidecall::Verification result;
    *out = make_text(sidecall::verification_report(*model->model, &result));
    if (!result.failure.empty()) throw Error(result.fault, result.failure);
  });
}

int32_t sidecall_model_num_inputs(const sidecall_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->specs->inputs.size());
}
int32_t sidecall_model_num_outputs(const sidecall_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->specs->outputs.size());
}
int32_t sidecall_model_num_features(const sidecall_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->specs->features.size());
}
int32_t sidecall_model_num_columns(const sidecall_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->specs->columns.size());
}

const sidecall_tensor_spec* sidecall_model_input_spec(const sidecall_model* model, int32_t input) {
  return model == nullptr ? nullptr : at(model->specs->inputs, input);
}
const sidecall_tensor_spec* sidecall_model_output_spec(const sidecall_model* model,
                                                       int32_t output) {
  return model == nullptr ? nullptr : at(model->specs->outputs, output);
}
const sidecall_feature_spec* sidecall_model_feature_spec(const sidecall_model* model,
                                                         int32_t feature) {
  return model == nullptr ? nullptr : at(model->specs->features, feature);
}
const sidecall_column_spec* sidecall_model_column_spec(const sidecall_model* model,
                                                       int32_t column) {
  return model == nullptr ? nullptr : at(model->specs->columns, column);
}

int32_t sidecall_model_input(const sidecall_model* model, const char* name) {
  return find(model, SIDECALL_KIND_INPUT, name);
}
int32_t sidecall_model_output(const sidecall_model* model, const char* name) {
  return find(model, SIDECALL_KIND_OUTPUT, name);
}
int32_t sidecall_model_feature(const sidecall_model* model, const char* name) {
  return find(model, SIDECALL_KIND_FEATURE, name);
}
int32_t sidecall_model_column(const sidecall_model* model, const char* name) {
  return find(model, SIDECALL_KIND_COLUMN, name);
}

sidecall_status sidecall_model_find(const sidecall_model* model, int32_t kind, const char* name,
                                    size_t length, int32_t* out_index, sidecall_error* err) {
  if (out_index != nullptr) *out_index = -1;
  return guard(err, [&] {
    require(model != nullptr && name != nullptr && out_index != nullptr,
            "model, name and out_index must not be NULL");
    const Signature& signature = model->model->signature();
    *out_index = names_of(signature, kind).find({name, length});
    if (*out_index < 0) fail_unknown(signature, kind, std::string(name, length));
  });
}

sidecall_status sidecall_predict_json(const sidecall_model* model, const char* json, size_t length,
                                      sidecall_text** out, sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(model != nullptr && json != nullptr && out != nullptr,
            "model, json and out must not be NULL");
    *out = make_text(model->model->predict_json({json, length}));
  });
}

sidecall_status sidecall_predict_json_within(const sidecall_model* model, const char* json,
                                             size_t length, int64_t timeout_ns, sidecall_text** out,
                                             sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(model != nullptr && json != nullptr && out != nullptr,
            "model, json and out must not be NULL");
    *out = make_text(model->model->predict_json({json, length}, timeout_ns));
  });
}

sidecall_status sidecall_engine_describe(const sidecall_model_options* options, sidecall_text** out,
                                         sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(out != nullptr, "out must not be NULL");
    const sidecall_model_options known = read_model_options(options);
    *out = make_text(sidecall::describe_ort_library(
        sidecall::load_ort_library(known.onnxruntime, known.onnxruntime_package)));
  });
}

sidecall_status sidecall_network_describe(const char* uri, int64_t timeout_ns, sidecall_text** out,
                                          sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(out != nullptr, "out must not be NULL");
    require(timeout_ns > 0 || timeout_ns == -1, "timeout_ns: expected more than 0, or -1");
    require(uri == nullptr || sidecall::is_network(uri),
            "uri: expected an address of a model on another host, such as http://HOST/MODEL");
    *out = make_text(sidecall::describe_network(uri == nullptr ? "" : uri, timeout_ns));
  });
}

}  // extern "C"
