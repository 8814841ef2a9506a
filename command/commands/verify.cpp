// sidecall verify: checks whether the golden rows of a file give the recorded answers on this
// machine.
#include <algorithm>
#include <cstdlib>

#include "formats/json.hpp"
#include "model/model.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

struct Verdict {
  std::string uri;
  ExitCode code = kOk;
  std::string problem;                          // "" if verification passed
  JsonDocument report{rapidjson::kObjectType};  // empty if none could be made
};

Verdict verify(const std::string& uri, const ModelOptions& options) {
  Verdict verdict;
  verdict.uri = uri;
  sidecall_error err = SIDECALL_ERROR_INIT;
  Model model;
  sidecall_status status = try_open_model(uri, options, model, err);
  if (status == SIDECALL_OK) {
    sidecall_text* raw = nullptr;
    status = sidecall_model_verify(model.get(), &raw, &err);
    const Text text(raw);
    if (text) verdict.report = parse_json({text->data, text->length});
  }
  if (status != SIDECALL_OK) {
    verdict.code = status == SIDECALL_VERIFICATION_FAILED ? kUsage : exit_code_of(status);
    verdict.problem = message_about(uri, status, err);
  }
  return verdict;
}

// One line for each output of each model; a model without a report has one line.
std::string to_table(const std::vector<Verdict>& verdicts) {
  Table table("lllrlrr", {"model", "verdict", "id", "rows", "output", "largest", "tolerance"});
  for (const auto& verdict : verdicts) {
    const std::string rows = text_at(verdict.report, "rows");
    const std::string word = verdict.code == kOk      ? (rows == "0" ? "no rows" : "ok")
                             : verdict.code == kUsage ? "DIFFERS"
                                                      : "error";
    const Json& outputs = at(verdict.report, "outputs");
    if (!outputs.IsArray() || outputs.Empty()) {
      table.add({verdict.uri, word, text_at(verdict.report, "id").substr(0, 12), rows, "", "", ""});
      continue;
    }
    for (const auto& output : outputs.GetArray()) {
      const Json& absolute = at(output, "absolute");
      const Json& relative = at(output, "relative");
      const Json& largest = at(output, "largest");
      std::string tolerance;
      if (absolute.IsNumber() && relative.IsNumber() &&
          (absolute.GetDouble() > 0 || relative.GetDouble() > 0))
        tolerance = short_difference(absolute.GetDouble()) + " + " +
                    short_difference(relative.GetDouble()) + " relative";
      table.add({verdict.uri, word, text_at(verdict.report, "id").substr(0, 12), rows,
                 text_at(output, "name"),
                 largest.IsNumber() ? short_difference(largest.GetDouble()) : text_of(largest),
                 tolerance});
    }
  }
  return table.text();
}

std::string as_json(const std::vector<Verdict>& verdicts) {
  return to_json([&](JsonWriter& json) {
    json.StartArray();
    for (const auto& verdict : verdicts) {
      json.StartObject();
      write_member(json, "file", verdict.uri);
      json.Key("holds");
      json.Bool(verdict.code == kOk);
      json.Key("problem");
      if (verdict.problem.empty()) json.Null();
      else write_text(json, verdict.problem);
      json.Key("report");
      if (verdict.report.ObjectEmpty()) json.Null();
      else verdict.report.Accept(json);
      json.EndObject();
    }
    json.EndArray();
  });
}

}  // namespace

int run_verify(const Command& self, std::vector<std::string> words) {
  Arguments arguments(
      self,
      "Golden rows are rows that the export stored in the file with their answers.\n"
      "Exit code 1 if an answer differs from the stored one. A file whose bytes have\n"
      "changed since the export does not open.");
  ModelOptions options;
  options.verify = "off";  // otherwise open would stop at the first failure, without a report
  std::vector<std::string> uris;
  bool json = false;
  arguments.app.add_option("MODEL", uris, kModelHelp)->required()->option_text(" ");
  arguments.app.add_flag("--json", json, "write a report for each model as JSON");
  add_route_options(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  unsetenv("SIDECALL_VERIFY");
  std::vector<Verdict> verdicts;
  int exit_code = kOk;
  for (const auto& uri : uris) {
    verdicts.push_back(verify(uri, options));
    exit_code = std::max<int>(exit_code, verdicts.back().code);
  }
  out().write(json ? as_json(verdicts) : to_table(verdicts));
  for (const auto& verdict : verdicts) {
    if (!verdict.problem.empty()) complain("sidecall: " + verdict.problem);
  }
  return exit_code;
}

}  // namespace sidecall::cli
