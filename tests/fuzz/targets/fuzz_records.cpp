// Fuzzes JSON records: any text, with features of every type. Whatever happens, the call accepts
// the next record.
#include <rapidjson/document.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/call/records.h"
#include "records_model.h"
#include "tests/fuzz/check.h"

namespace {

// Predicts as sidecall_predict_json does. Returns "" if the records were refused.
std::string predict(std::string_view json, sidecall::RecordReader* reader, sidecall::Call* call) {
  std::string out;
  const bool done = fuzz::run([&] {
    const int64_t rows = sidecall::count_records(json);
    fuzz::require(rows >= 0 && static_cast<size_t>(rows) <= json.size() / 2 + 1,
                  "no more rows than the text can hold");
    if (rows == 0) return;
    call->resize(rows);
    call->clear();
    reader->read(json, call);
    call->run(-1);
    fuzz::require(call->rows() == rows, "a row per record");
    sidecall::write_records(call, rows > 1, &out);
  });
  return done ? out : "";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fake::RecordsModel model;
  static const std::string good =
      R"({"amount": 1.5, "flag": true, "on": false, "sex": "male", "job": "a"})";
  // Reused for all inputs, as the library reuses its calls: no text may affect the next one.
  static sidecall::RecordReader reader;
  static const auto kept = model.call(1);
  static const std::string expected = predict(good, &reader, kept.get());

  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const std::string out = predict(json, &reader, kept.get());
  if (!out.empty()) {
    rapidjson::Document document;
    document.Parse<rapidjson::kParseValidateEncodingFlag>(out.data(), out.size());
    fuzz::require(!document.HasParseError(), "answers that are JSON");
    sidecall::RecordReader fresh_reader;
    const auto fresh = model.call(1);
    fuzz::require(predict(json, &fresh_reader, fresh.get()) == out,
                  "the same from a kept call and a fresh one");
  }
  fuzz::require(predict(good, &reader, kept.get()) == expected, "the call stays usable");
  return 0;
}
