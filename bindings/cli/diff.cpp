// sidecall diff: would a caller of the old model break with the new one, and how far do its answers move?
#include "diff.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "model.hpp"
#include "output.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kMaxCell = 48;

std::string title(const std::string& uri, const sidecall_model* model) {
  const std::string name = std::string(sidecall_model_name(model)) + " " + sidecall_model_version(model);
  return printable(uri + (name == " " ? "" : " (" + name + ")"));
}

std::string who_breaks(const Change& change) {
  return change.breaks_predict && change.breaks_run ? "predict, run" : change.breaks_predict ? "predict" : change.breaks_run ? "run" : "-";
}

std::string changes_table(const std::vector<Change>& changes) {
  if (changes.empty()) return "takes and gives the same\n";
  Table table("llll", {"breaks", "what", "old", "new"});
  for (const auto& change : changes)
    table.add({who_breaks(change), change.what, shortened(change.before, kMaxCell), shortened(change.after, kMaxCell)});
  return table.text();
}

std::string answers_table(const Answers& answers) {
  if (!answers.problem.empty()) return "answers not compared: " + answers.problem + "\n";
  std::string text = "answers on the " + counted(answers.rows, "golden row") + " of the old file\n";
  if (answers.refused > 0)
    text += "  " + counted(answers.refused, "row") + " refused by the new model: " + printable(answers.first_refusal) + "\n";
  if (answers.refused == answers.rows) return text;
  if (answers.movements.empty()) return text + "  no output stands in both files\n";
  Table table("lrr", {"output", "rows that moved", "largest"});
  for (const auto& movement : answers.movements)
    table.add({movement.output, std::to_string(movement.moved), movement.is_number ? short_difference(movement.largest) : ""});
  return text + table.text("  ");
}

int64_t num_breaking(const std::vector<Change>& changes) {
  return std::count_if(changes.begin(), changes.end(), [](const Change& change) { return change.breaks(); });
}

std::string verdict(const std::vector<Change>& changes) {
  const int64_t breaking = num_breaking(changes);
  if (breaking == 0) return "no caller breaks\n";
  const bool predict = std::any_of(changes.begin(), changes.end(), [](const Change& change) { return change.breaks_predict; });
  return counted(breaking, "change") + (breaking == 1 ? " breaks" : " break") + " callers" +
         (predict ? "" : " of run; callers of predict are safe") + "\n";
}

std::string as_json(const std::string& old_uri, const std::string& new_uri, const std::vector<Change>& changes, const Answers& answers) {
  return to_json([&](JsonWriter& json) {
    json.StartObject();
    write_member(json, "old", old_uri);
    write_member(json, "new", new_uri);
    json.Key("breaks");
    json.Bool(num_breaking(changes) > 0);
    json.Key("changes");
    json.StartArray();
    for (const auto& change : changes) {
      json.StartObject();
      write_member(json, "kind", change.kind);
      write_member(json, "what", change.what);
      write_member(json, "old", change.before);
      write_member(json, "new", change.after);
      json.Key("breaks");
      json.StartArray();
      if (change.breaks_predict) json.String("predict");
      if (change.breaks_run) json.String("run");
      json.EndArray();
      json.EndObject();
    }
    json.EndArray();
    json.Key("answers");
    json.StartObject();
    json.Key("rows");
    json.Int64(answers.rows);
    json.Key("refused");
    json.Int64(answers.refused);
    json.Key("problem");
    if (answers.problem.empty()) json.Null();
    else write_text(json, answers.problem);
    json.Key("outputs");
    json.StartArray();
    for (const auto& movement : answers.movements) {
      json.StartObject();
      write_member(json, "name", movement.output);
      json.Key("moved");
      json.Int64(movement.moved);
      json.Key("largest");
      if (movement.is_number && std::isfinite(movement.largest)) json.Double(movement.largest);
      else json.Null();
      json.EndObject();
    }
    json.EndArray();
    json.EndObject();
    json.EndObject();
  });
}

}  // namespace

int run_diff(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self,
                      "Tells what changed in features, inputs, outputs and classes, whom it breaks\n"
                      "(callers of predict, by name; callers of run, by tensor), and how far the\n"
                      "answers moved on the golden rows of OLD. Exit code 1 where a caller would\n"
                      "break. Answers that moved break nobody: that is what a new model is for.");
  ModelOptions options;
  options.verify = "off";
  options.extra = "ignore";
  std::string old_uri;
  std::string new_uri;
  bool json = false;
  arguments.app.add_option("OLD", old_uri, "the model that callers use now")->required()->option_text(" ");
  arguments.app.add_option("NEW", new_uri, "the model that would replace it")->required()->option_text(" ");
  arguments.app.add_flag("--json", json, "for programs");
  add_route_options(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kYes;

  unsetenv("SIDECALL_VERIFY");
  const Model before = open_model(old_uri, options);
  const Model after = open_model(new_uri, options);
  const Signature old_signature(before.get());
  const Signature new_signature(after.get());
  const auto changes = compare_signatures(old_signature, new_signature);
  const Answers answers = compare_answers(before.get(), after.get(), old_signature, guess_renames(old_signature, new_signature));
  if (json) {
    out().write(as_json(old_uri, new_uri, changes, answers));
  } else {
    out().write(title(old_uri, before.get()) + " -> " + title(new_uri, after.get()) + "\n\n" + changes_table(changes) + "\n" +
                answers_table(answers) + "\n" + verdict(changes));
  }
  return num_breaking(changes) > 0 ? kNo : kYes;
}

}  // namespace sidecall::cli
