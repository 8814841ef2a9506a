// JSON records with the fake engine: memory use, numbers at the limits, locales.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <clocale>
#include <string>
#include <thread>

#include "core/call/records.h"
#include "core/model.h"
#include "core/text.h"
#include "records_model.h"

using fake::RecordsModel;
using fake::status_of;

namespace {

// The value that the feature `time` (float64) gets.
double read_time(const std::string& number) {
  RecordsModel model;
  double seen = -1;
  model.engine.on_run = [&](fake::Context& context) {
    seen = *static_cast<const double*>(context.inputs[2].data);
    return sidecall::Outcome::kDone;
  };
  const auto call = model.call(1);
  call->clear();
  sidecall::RecordReader().read(
      R"({"amount": 1, "flag": true, "on": true, "sex": "male", "time": )" + number + "}",
      call.get());
  call->run(-1);
  return seen;
}

}  // namespace

TEST_CASE("rows are counted by records, not by commas") {
  CHECK(sidecall::count_records("[" + std::string(1000, ',')) == 1);
  CHECK(sidecall::count_records("[]") == 0);
  CHECK(sidecall::count_records(" [ ] ") == 0);
  CHECK(sidecall::count_records("[{}]") == 1);
  CHECK(sidecall::count_records(R"([{"a": {}}, {"}{": [{}]}, {}])") == 3);
  CHECK(sidecall::count_records(R"({"a": [{}, {}]})") == 1);
  CHECK(sidecall::count_records("[5]") == 1);
}

TEST_CASE("bytes that JSON does not allow are found at every offset") {
  for (const std::string& bad :
       {std::string("\x00", 1), std::string("\x01"), std::string("\x1a"), std::string("\x1f"),
        std::string("\xff"), std::string("\xc3"), std::string("\xed\xa0\x80")}) {
    for (size_t offset = 0; offset < 20; ++offset) {
      for (const std::string& before : {std::string(offset, 'a'), std::string(offset, '\n'),
                                        "\xc3\xa9" + std::string(offset, ' ')}) {
        CHECK(sidecall::find_non_json(before + bad + "more than eight") == before.size());
        CHECK(sidecall::find_non_json(before + bad) == before.size());
      }
    }
  }
  for (const std::string& good : {std::string(), std::string("\t\r\n {} \x7f"),
                                  std::string("\xc2\x80 \xf0\x9f\x90\xa7, a long text of ASCII")})
    CHECK(sidecall::find_non_json(good) == good.size());
}

TEST_CASE("control characters never reach an error message") {
  CHECK(sidecall::printable("a\x1b\x7f\n\t\r") == "a\\u001b\\u007f\\n\\t\\r");
  CHECK(sidecall::printable("\xc2\x80\xc2\x9b\xc2\x9f") == "\\u0080\\u009b\\u009f");
  CHECK(sidecall::printable("\xc2\xa0\xc3\xa9\xff") == "\xc2\xa0\xc3\xa9?");
}

TEST_CASE("numbers beyond float64 become zero or are refused in every locale") {
  // On a machine without these locales the check is the same as in "C".
  const bool has_comma = std::setlocale(LC_NUMERIC, "de_DE.UTF-8") != nullptr ||
                         std::setlocale(LC_NUMERIC, "fr_FR.UTF-8") != nullptr;
  CHECK(read_time("1.5e-400") == 0);
  CHECK(read_time("-1.5e-400") == 0);
  CHECK(read_time("0." + std::string(400, '0') + "1") == 0);
  CHECK(read_time("123456789" + std::string(10, '0') + "e-500") == 0);
  CHECK(read_time("1e-99999999999999999999") == 0);
  CHECK(read_time("1.25e-2") == 0.0125);
  CHECK(read_time("0." + std::string(400, '0') + "1e401") == 1);
  CHECK(status_of([] { read_time("1" + std::string(400, '0')); }) == SIDECALL_OUT_OF_RANGE);
  CHECK(status_of([] { read_time("-1" + std::string(400, '0') + ".5"); }) == SIDECALL_OUT_OF_RANGE);
  CHECK(status_of([] { read_time("1e400"); }) == SIDECALL_OUT_OF_RANGE);
  if (has_comma) std::setlocale(LC_NUMERIC, "C");
}

TEST_CASE("the time that records take to read counts towards the deadline of predict_json") {
  auto engine = std::make_unique<fake::Engine>(RecordsModel().engine);
  int num_runs = 0;
  engine->on_run = [&](fake::Context&) {
    ++num_runs;
    return sidecall::Outcome::kDone;
  };
  sidecall_model_options options{};
  options.timeout_ns = 1;
  const auto model = sidecall::Model::from_engine(
      std::move(engine), {"test", "test", fake::kRecordsContract, true}, options);
  const std::string record = R"({"amount": 1, "flag": true, "on": true, "sex": "male"})";
  CHECK(status_of([&] { model->predict_json(record); }) == SIDECALL_TIMEOUT);
  CHECK(status_of([&] { model->predict_json(record, 1); }) == SIDECALL_TIMEOUT);
  CHECK(num_runs == 0);
  CHECK(status_of([&] { model->predict_json("{", 1); }) == SIDECALL_INVALID_JSON);
  CHECK(status_of([&] { model->predict_json(record, 0); }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(!model->predict_json(record, -1).empty());
  CHECK(!model->predict_json(record, INT64_MAX).empty());
  CHECK(num_runs == 2);
}

// The allocator of AddressSanitizer has a lock, which a child that is forked while another thread
// allocates may find locked.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a child that is forked while another thread predicts can predict with the same model") {
  auto engine = std::make_unique<fake::Engine>(RecordsModel().engine);
  sidecall_model_options options{};
  options.timeout_ns = -1;
  const auto model = sidecall::Model::from_engine(
      std::move(engine), {"test", "test", fake::kRecordsContract, true}, options);
  const auto use = [&] {
    return !model->predict_json(R"({"amount": 1, "flag": true, "on": true, "sex": "male"})")
                .empty();
  };
  REQUIRE(use());
  std::atomic<bool> is_over{false};
  std::thread thread([&] {
    while (!is_over) use();
  });
  int bad_children = 0;
  for (int i = 0; i < 300; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // ends a child that waits for a mutex that the thread held
      _exit(use() ? 0 : 1);
    }
    int result = -1;
    if (waitpid(child, &result, 0) != child || result != 0) ++bad_children;
  }
  is_over = true;
  thread.join();
  CHECK(bad_children == 0);
}
#endif
