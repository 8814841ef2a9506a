// sidecall info: shows the inputs and outputs of a model and how it was made, as a page for people
// or JSON for programs.
#include <cstdlib>

#include "formats/json.hpp"
#include "model/domain.hpp"
#include "model/model.hpp"
#include "model/signature.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kMaxClasses = 6;
constexpr size_t kMaxCell = 60;

std::string describe_seen(const Json& feature) {
  if (at(feature, "allowed").IsArray())
    return "only " + list_of(at(feature, "allowed"), kMaxClasses);
  const Json& seen = at(feature, "seen");
  if (at(seen, "categories").IsArray()) return list_of(at(seen, "categories"), kMaxClasses);
  if (at(seen, "min").IsNumber() && at(seen, "max").IsNumber())
    return short_number(at(seen, "min").GetDouble()) + " to " +
           short_number(at(seen, "max").GetDouble());
  return "";
}

// Returns text such as "32.1 to 59.6 in the data; accepts 0 to 100". Does not mention that
// infinities are refused, because that is the usual case.
std::string describe_values(const Json& feature) {
  std::string seen = describe_seen(feature);
  const std::string domain = describe_domain(feature);
  if (domain.empty() || domain == "finite") return seen;
  return domain == "not empty"
             ? (seen.empty() ? domain : seen + "; not empty")
             : (seen.empty() ? "" : seen + " in the data; ") + "accepts " + domain;
}

std::string features_table(const sidecall_model* model, const Json& contract) {
  const Json& features = at(contract, "features");
  if (!features.IsArray()) return "";
  Table table("lllll", {"feature", "type", "nullable", "input", "values"});
  const bool is_matrix = static_cast<size_t>(sidecall_model_num_inputs(model)) < features.Size();
  for (const auto& feature : features.GetArray()) {
    const std::string column = is_matrix ? "[" + text_at(feature, "column") + "]" : "";
    table.add({shortened(text_at(feature, "name"), kMaxCell),
               shortened(describe_type(feature), kMaxCell),
               true_at(feature, "nullable") ? "yes" : "no",
               shortened(text_at(feature, "input"), kMaxCell) + column,
               shortened(describe_values(feature), kMaxCell)});
  }
  return table.text() + "\n";
}

std::string outputs_table(const Json& contract) {
  const Json& outputs = at(contract, "outputs");
  if (!outputs.IsArray()) return "";
  Table table("lll", {"output", "type", "classes or width"});
  for (const auto& output : outputs.GetArray()) {
    const Json& classes = at(output, "classes");
    const std::string shape =
        classes.IsArray() ? list_of(classes, kMaxClasses) : text_at(output, "width");
    table.add({shortened(text_at(output, "name"), kMaxCell), text_at(output, "type"),
               shortened(shape, kMaxCell)});
  }
  return table.text() + "\n";
}

std::string tensors_table(const sidecall_model* model) {
  Table table("lll", {"tensor", "name", "type and shape"});
  for (const auto& tensor : tensors_of(model, Side::kInput))
    table.add({"input", shortened(tensor.name, kMaxCell), tensor.type_and_shape()});
  for (const auto& tensor : tensors_of(model, Side::kOutput))
    table.add({"output", shortened(tensor.name, kMaxCell), tensor.type_and_shape()});
  return table.text();
}

std::string parity_lines(const Json& contract) {
  const Json& parity = at(contract, "parity");
  if (!parity.IsObject()) return "";
  std::string text = "\nparity with the original, " + printable(text_at(parity, "rows")) + " rows" +
                     (true_at(parity, "weak") ? " (weak: few rows)" : "") + ", precision " +
                     printable(text_at(parity, "precision")) + "\n";
  if (!at(parity, "outputs").IsArray()) return text;
  for (const auto& output : at(parity, "outputs").GetArray()) {
    text += "  " + printable(text_at(output, "name"));
    if (at(output, "largest").IsNumber())
      text += ": largest difference " + short_difference(at(output, "largest").GetDouble());
    const Json& disagreements = at(output, "disagreements");
    if (disagreements.IsInt64())
      text += disagreements.GetInt64() == 0 ? ": no label differs"
                                            : ": " + text_of(disagreements) + " labels differ";
    text += "\n";
  }
  return text;
}

std::string page(const std::string& uri, const sidecall_model* model, const Json& contract) {
  const Json& about = at(contract, "model");
  std::string text;
  const auto line = [&](const char* key, const std::string& value) {
    if (!value.empty())
      text += std::string(key) + std::string(10 - std::string_view(key).size(), ' ') +
              printable(value) + "\n";
  };
  const bool is_file = sidecall_model_route(model) == SIDECALL_ROUTE_IN_PROCESS;
  line(is_file ? "file" : "server", uri);
  line("name", text_at(about, "name"));
  line("version", text_at(about, "version"));
  line("task", text_at(about, "task"));
  line("created", text_at(about, "created"));
  line("id", sidecall_model_id(model));
  const std::string reason = sidecall_model_engine_reason(model);
  if (!reason.empty()) line("engine", sidecall_model_engine(model) + (": " + reason));
  if (at(about, "metadata").IsObject() && at(about, "metadata").MemberCount() > 0)
    line("metadata", text_at(about, "metadata"));
  if (!contract.IsObject() || contract.ObjectEmpty())
    line("contract", "none: predict needs a contract (sidecall export), run does not");
  text += "\n" + features_table(model, contract) + outputs_table(contract) + tensors_table(model) +
          parity_lines(contract);
  const Json& verification = at(contract, "verification");
  if (verification.IsObject())
    text += "\ngolden rows: " + printable(text_at(verification, "rows")) + " (" +
            printable(text_at(verification, "source")) + ")\n";
  const Json& versions = at(contract, "versions");
  if (!versions.IsObject()) return text;
  text += "made with:";
  for (const auto& version : versions.GetObject())
    text += std::string(&version == &*versions.MemberBegin() ? " " : ", ") +
            printable(text_of(version.name)) + " " + printable(text_of(version.value));
  return text + "\n";
}

void write_tensors(JsonWriter& json, const char* key, const std::vector<Tensor>& tensors) {
  json.Key(key);
  json.StartArray();
  for (const auto& tensor : tensors) {
    json.StartObject();
    write_member(json, "name", tensor.name);
    write_member(json, "type", tensor.type);
    json.Key("shape");
    json.StartArray();
    for (size_t i = 0; i < tensor.dims.size(); ++i) {
      if (tensor.dims[i] >= 0) json.Int64(tensor.dims[i]);
      else if (!tensor.dim_names[i].empty()) write_text(json, tensor.dim_names[i]);
      else json.Null();
    }
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
}

std::string as_json(const std::string& uri, const sidecall_model* model,
                    const JsonDocument& contract) {
  return to_json([&](JsonWriter& json) {
    json.StartObject();
    write_member(json, "file", uri);
    write_member(json, "id", sidecall_model_id(model));
    write_member(json, "engine", sidecall_model_engine(model));
    write_member(json, "engine_reason", sidecall_model_engine_reason(model));
    write_tensors(json, "inputs", tensors_of(model, Side::kInput));
    write_tensors(json, "outputs", tensors_of(model, Side::kOutput));
    json.Key("columns");
    json.StartArray();
    for (int32_t i = 0; i < sidecall_model_num_columns(model); ++i)
      write_text(json, sidecall_model_column_spec(model, i)->name);
    json.EndArray();
    json.Key("contract");
    if (contract.ObjectEmpty()) json.Null();
    else contract.Accept(json);
    json.EndObject();
  });
}

}  // namespace

int run_info(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self, "");
  ModelOptions options;
  options.verify = "off";
  std::string uri;
  bool json = false;
  arguments.app.add_option("MODEL", uri, kModelHelp)->required()->option_text(" ");
  arguments.app.add_flag("--json", json,
                         "write the contract, the tensors and the column names as JSON");
  add_route_options(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  unsetenv("SIDECALL_VERIFY");  // a model that fails verification can still be shown
  const Model model = open_model(uri, options);
  const JsonDocument contract = contract_of(model.get());
  out().write(json ? as_json(uri, model.get(), contract) : page(uri, model.get(), contract));
  return kOk;
}

}  // namespace sidecall::cli
