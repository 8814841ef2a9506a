// sidecall diff: shows whether a caller of the old model would break with the new one, and how far
// the answers move.
#include "diff.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "model/model.hpp"
#include "rows/text.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kMaxCell = 48;

std::string title(const std::string& uri, const sidecall_model* model) {
  const std::string name =
      std::string(sidecall_model_name(model)) + " " + sidecall_model_version(model);
  return printable(uri + (name == " " ? "" : " (" + name + ")"));
}

std::string who_breaks(const Change& change) {
  return change.breaks_predict && change.breaks_run ? "predict, run"
         : change.breaks_predict                    ? "predict"
         : change.breaks_run                        ? "run"
                                                    : "-";
}

std::string changes_table(const std::vector<Change>& changes) {
  if (changes.empty()) return "no change in features, inputs, outputs or classes\n";
  Table table("llll", {"breaks", "what", "old", "new"});
  for (const auto& change : changes)
    table.add({who_breaks(change), change.what, shortened(change.before, kMaxCell),
               shortened(change.after, kMaxCell)});
  return table.text();
}

std::string answers_table(const MovedAnswers& answers) {
  if (!answers.problem.empty()) return "answers not compared: " + answers.problem + "\n";
  std::string text =
      "answers on the " +
      (answers.source.empty() ? counted(answers.rows, "golden row") + " of the old file"
                              : counted(answers.rows, "row") + " of " + answers.source) +
      "\n";
  if (answers.refused > 0)
    text += "  " + counted(answers.refused, "row") +
            " refused by the new model: " + printable(answers.first_refusal) + "\n";
  if (answers.refused_by_old > 0)
    text += "  " + counted(answers.refused_by_old, "row") + " refused only by the old model\n";
  if (answers.refused_by_both > 0)
    text += "  " + counted(answers.refused_by_both, "row") + " refused by both models\n";
  if (answers.refused + answers.refused_by_old + answers.refused_by_both == answers.rows)
    return text;
  if (answers.movements.empty()) return text + "  no output is in both files\n";
  Table table("lrr", {"output", "rows that moved", "largest"});
  for (const auto& movement : answers.movements)
    table.add({movement.output, std::to_string(movement.moved),
               movement.is_number ? short_difference(movement.largest) : ""});
  return text + table.text("  ");
}

int64_t num_breaking(const std::vector<Change>& changes) {
  return std::count_if(changes.begin(), changes.end(),
                       [](const Change& change) { return change.breaks(); });
}

std::string verdict(const std::vector<Change>& changes) {
  const int64_t breaking = num_breaking(changes);
  if (breaking == 0) return "no caller breaks\n";
  const bool predict = std::any_of(changes.begin(), changes.end(),
                                   [](const Change& change) { return change.breaks_predict; });
  return counted(breaking, "change") + (breaking == 1 ? " breaks" : " break") + " callers" +
         (predict ? "" : " of run; callers of predict do not break") + "\n";
}

// The value of --max-moved.
struct MaxMoved {
  bool is_given = false;
  double number = 0;
  bool is_share = false;  // percent of the rows

  bool allows(const MovedAnswers& answers) const {
    const auto moved = static_cast<double>(answers.moved);
    return answers.is_compared() &&
           moved <= (is_share ? number / 100 * static_cast<double>(answers.rows) : number);
  }
};

// Parses "3" (rows) or "0.5%" (of the rows).
MaxMoved parse_max_moved(const std::string& text) {
  MaxMoved result;
  if (text.empty()) return result;
  result.is_given = true;
  result.is_share = text.back() == '%';
  const std::string digits = result.is_share ? text.substr(0, text.size() - 1) : text;
  const Number number = parse_number(digits);
  const bool is_whole = number.kind == Number::Kind::kInteger;
  result.number = is_whole ? static_cast<double>(number.integer) : number.real;
  if (!(is_whole || (result.is_share && number.kind == Number::Kind::kReal)) || result.number < 0)
    throw Failure(
        kUsage, "diff: --max-moved: expected a number of rows or a percentage such as 0.1%, got '" +
                    text + "' (see sidecall diff --help)");
  return result;
}

std::string gate_text(const MovedAnswers& answers, const MaxMoved& most) {
  if (!most.is_given) return "";
  if (!answers.is_compared()) return "no answer was compared, so --max-moved cannot be checked\n";
  return std::to_string(answers.moved) + " of " + counted(answers.rows, "row") +
         " moved: " + (most.allows(answers) ? "not " : "") + "more than --max-moved\n";
}

std::string as_json(const std::string& old_uri, const std::string& new_uri,
                    const std::vector<Change>& changes, const MovedAnswers& answers) {
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
    json.Key("moved");
    json.Int64(answers.moved);
    json.Key("refused");
    json.Int64(answers.refused);
    json.Key("refused_by_old");
    json.Int64(answers.refused_by_old);
    json.Key("refused_by_both");
    json.Int64(answers.refused_by_both);
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
  Arguments arguments(
      self,
      "Shows what changed in features, inputs, outputs and classes, whether it breaks\n"
      "callers of predict (by name) or of run (by tensor), and how far the answers\n"
      "moved. Exit code 1 if a caller would break, or if more rows moved than\n"
      "--max-moved allows.");
  ModelOptions options;
  options.verify = "off";
  options.extra = "ignore";
  std::string old_uri;
  std::string new_uri;
  std::string rows;
  std::string max_moved;
  bool json = false;
  arguments.app.add_option("OLD", old_uri, "the model that callers use now")
      ->required()
      ->option_text(" ");
  arguments.app.add_option("NEW", new_uri, "the model that would replace it")
      ->required()
      ->option_text(" ");
  arguments.app
      .add_option("--rows", rows,
                  "rows on which to compare the answers: .jsonl, .ndjson or .csv (default: the "
                  "golden rows of OLD)")
      ->option_text("FILE");
  arguments.app
      .add_option("--max-moved", max_moved,
                  "rows that may move: a number such as 3, or a percentage such as 0.1% (default: "
                  "no limit)")
      ->option_text("N|P%");
  arguments.app.add_flag("--json", json, "write the changes and the moved answers as JSON");
  add_route_options(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  const MaxMoved most = parse_max_moved(max_moved);
  unsetenv("SIDECALL_VERIFY");
  const Model before = open_model(old_uri, options);
  const Model after = open_model(new_uri, options);
  const Signature old_signature(before.get());
  const Signature new_signature(after.get());
  const auto changes = compare_signatures(old_signature, new_signature);
  const MovedAnswers answers =
      rows.empty() ? compare_answers(before.get(), after.get(), old_signature,
                                     guess_renames(old_signature, new_signature))
                   : compare_rows(before, after, old_signature, rows, run_timeout_ns(options));
  if (json) {
    out().write(as_json(old_uri, new_uri, changes, answers));
  } else {
    out().write(title(old_uri, before.get()) + " -> " + title(new_uri, after.get()) + "\n\n" +
                changes_table(changes) + "\n" + answers_table(answers) + "\n" + verdict(changes) +
                gate_text(answers, most));
  }
  return num_breaking(changes) > 0 || (most.is_given && !most.allows(answers)) ? kUsage : kOk;
}

}  // namespace sidecall::cli
