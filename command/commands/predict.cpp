// sidecall predict: reads rows as JSON Lines or CSV and writes their answers, in bounded memory.
#include "predict.hpp"

#include <algorithm>
#include <cstdlib>

#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

struct PredictOptions {
  ModelOptions model;
  std::string uri;
  std::string file = "-";
  std::string from;
  std::string to;
  std::string on_error = "fail";
  std::vector<std::string> only;
  RowOptions rows;
  size_t batch = 512;
  size_t max_line = size_t{64} << 20;
  bool stream = false;
};

void add_options(CLI::App& app, PredictOptions& options) {
  const auto format = one_of({"jsonl", "csv"});
  app.add_option("MODEL", options.uri, kModelHelp)->required()->option_text(" ");
  app.add_option("FILE", options.file, "rows as JSON Lines or CSV (default: -, which is stdin)")
      ->option_text(" ");
  auto* from =
      app.add_option(
             "--from", options.from,
             "format of FILE: jsonl or csv (default: by its name, otherwise by its first byte)")
          ->check(format)
          ->option_text("FORMAT");
  auto* to = app.add_option("--to", options.to,
                            "format of the answers: jsonl or csv (default: that of FILE)")
                 ->check(format)
                 ->option_text("FORMAT");
  app.add_option("--keep", options.rows.keep,
                 "values of each row to copy in front of its answer, such as id,amount")
      ->delimiter(',')
      ->option_text("NAMES");
  app.add_option("--only", options.only,
                 "answers to write, such as label,probabilities.yes (default: all)")
      ->delimiter(',')
      ->option_text("NAMES");
  auto* on_error = app.add_option("--on-error", options.on_error,
                                  "a row with faults: fail (default) ends the run, skip leaves the "
                                  "row out, null answers it with null");
  on_error->check(one_of({"fail", "skip", "null"}))->option_text("HOW");
  auto* batch = app.add_option("--batch", options.batch,
                               "rows in one run of the model, 1 to 1048576 (default: 512)");
  batch->check(whole_number(1, 1 << 20))->option_text("N");
  app.add_flag("--stream", options.stream,
               "answer each line of JSON as soon as it is read, and a wrong line with an error; "
               "not with --from, --to, --on-error, --batch")
      ->option_text(" ")
      ->excludes(from, to, on_error, batch);
  app.add_option("--max-line", options.max_line,
                 "largest size of one row, 1 to 1073741824 (default: 67108864)")
      ->check(whole_number(1, 1 << 30))
      ->option_text("BYTES");
  app.add_option("--extra", options.model.extra,
                 "what to do with names that are not features: error (default) or ignore")
      ->check(one_of({"error", "ignore"}))
      ->option_text("HOW");
  app.add_option("--absent", options.model.absent,
                 "what to do if CSV has no column for a feature: error (default) or missing (its "
                 "values are missing)")
      ->check(one_of({"error", "missing"}))
      ->option_text("HOW");
  app.add_option("--verify", options.model.verify,
                 "what to do if a golden row fails when MODEL is opened: error (default), warn or "
                 "off (do not run the golden rows)")
      ->check(one_of({"error", "warn", "off"}))
      ->option_text("HOW");
  app.add_option("--timeout", options.model.timeout_s,
                 "deadline of each run (default: none in process, otherwise 30)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  add_route_options(app, options.model);
}

// Records need a contract. The library reports a missing contract only at the first record, so
// check it here: otherwise empty input would look like success.
void require_contract(const std::string& uri, const Model& model) {
  if (sidecall_model_contract(model.get(), nullptr)) return;
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_text* none = nullptr;
  const sidecall_status status = sidecall_predict_json(model.get(), "{}", 2, &none, &err);
  throw failure_of(uri, status, err);
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

TextFormat format_of(const PredictOptions& options, RowReader& reader) {
  if (options.stream || options.from == "jsonl") return TextFormat::kJson;
  if (options.from == "csv" || ends_with(options.file, ".csv")) return TextFormat::kCsv;
  if (ends_with(options.file, ".jsonl") || ends_with(options.file, ".ndjson"))
    return TextFormat::kJson;
  const char first = reader.first_byte();
  return first == 0 || first == '{' || first == '[' ? TextFormat::kJson : TextFormat::kCsv;
}

// Whether the model accepts batches; a graph that was made for one row at a time does not.
bool takes_batches(const sidecall_model* model) {
  for (int32_t i = 0; i < sidecall_model_num_inputs(model); ++i) {
    if (!sidecall_model_input_spec(model, i)->has_rows) return false;
  }
  return true;
}

int predict(PredictOptions& options) {
  // Open the file before the model, so that a wrong file name does not cost the time to load the
  // model.
  RowReader reader(options.file, options.max_line);
  const Model model = open_model(options.uri, options.model);
  require_contract(options.uri, model);
  if (reader.from_terminal())
    complain(
        "sidecall: reading rows from the terminal, one JSON object per line; Ctrl-D ends the "
        "input");
  note_interrupts();

  const TextFormat from = format_of(options, reader);
  const TextFormat to = options.to.empty()    ? from
                        : options.to == "csv" ? TextFormat::kCsv
                                              : TextFormat::kJson;
  reader.set_format(from == TextFormat::kCsv ? RowFormat::kCsv : RowFormat::kLines);
  options.rows.ignore_extra = options.model.extra == "ignore";
  options.rows.absent_is_missing = options.model.absent == "missing";
  const OnError on_error = options.on_error == "skip"   ? OnError::kSkip
                           : options.on_error == "null" ? OnError::kNull
                                                        : OnError::kFail;
  reader.skip_long_rows(on_error != OnError::kFail);
  RowCall call(model, run_timeout_ns(options.model));
  Answers answers(model.get(), options.only, options.rows, from, to);
  const PredictRun run{
      reader,  call, options.rows, answers, takes_batches(model.get()) ? options.batch : 1,
      on_error};
  if (options.stream) return predict_stream(run);
  const auto source = from == TextFormat::kCsv ? make_csv_source(call, options.rows)
                                               : make_json_source(call, options.rows);
  return predict_rows(run, *source);
}

}  // namespace

int run_predict(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self, "");
  PredictOptions options;
  add_options(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  const int exit_code = predict(options);
  if (const int signal = noted_interrupt()) {
    out().flush();
    die_by_signal(signal);
  }
  return exit_code;
}

}  // namespace sidecall::cli
