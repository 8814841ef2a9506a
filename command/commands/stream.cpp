// predict --stream: answers each line at once with one line; for a program that keeps the command
// running as a child process. See predict.hpp.
#include <algorithm>
#include <array>

#include "base/json/json.h"
#include "formats/json.hpp"
#include "predict.hpp"
#include "rows/json_lines.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

using LineWriter = json::Writer;

void add(LineWriter& json, const char* key, std::string_view text) {
  json.Key(key);
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

std::string error_line(sidecall_status status, const sidecall_error& error) {
  json::Buffer buffer;
  LineWriter json(buffer);
  json.StartObject();
  json.Key("error");
  json.StartObject();
  add(json, "status", sidecall_status_name(status));
  add(json, "message", error.message);
  json.Key("retryable");
  json.Bool(error.retryable != 0);
  json.Key("faults");
  json.StartArray();
  for (uint32_t i = 0; i < std::min(error.num_faults, error.faults_capacity); ++i) {
    const sidecall_fault& fault = error.faults[i];
    json.StartObject();
    add(json, "status", sidecall_status_name(fault.status));
    add(json, "name", fault.name);
    add(json, "expected", fault.expected);
    add(json, "got", fault.got);
    add(json, "message", fault.message);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  json.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

std::string answer_line(const PredictRun& run, JsonSource& source, const Row& row) {
  if (row.is_too_long) {
    sidecall_error error = SIDECALL_ERROR_INIT;
    run.reader.too_long().copy(error.message, sizeof error.message - 1);
    return error_line(SIDECALL_INVALID_JSON, error);
  }
  run.call.start(1, true);
  const auto judged = [&] {
    const sidecall_status status = source.judge(row.text);
    return error_line(status, source.error());
  };
  if (source.fill(run.call, 0, row.text) != Fill::kFilled) return judged();
  sidecall_status status = run.call.run();
  // The run reports only the first fault of the values that were written directly to memory. If the
  // library reads the record as text, it reports all faults.
  if (exit_code_of(status) == kBadInput) return judged();
  if (status == SIDECALL_OK) status = run.answers.fetch(run.call);
  if (status != SIDECALL_OK) return error_line(status, run.call.error());
  std::string line;
  run.answers.append(run.call, 0, source, 0, &line);
  return line;
}

}  // namespace

int predict_stream(const PredictRun& run) {
  JsonSource source(run.call, run.options);
  run.reader.skip_long_rows(true);
  std::vector<Row> rows;
  while (!noted_interrupt() && run.reader.next(1, rows)) {
    out().write(answer_line(run, source, rows[0]));
    out().flush();
  }
  return kOk;
}

}  // namespace sidecall::cli
