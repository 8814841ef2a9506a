// Signatures and contracts that a hostile server or file makes as large, deep or awkward as it can.
// Reading them takes time in proportion to their bytes, or they are refused.
//
// The tests bound the time far above what reading takes (some tenths of a second at most, without
// sanitizers). They measure the CPU time of this thread, so a busy machine does not matter. With
// linear searches in lists, reading took minutes, so the bound still detects such a search.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "command/types/languages.h"
#include "core/contract/signature_json.h"
#include "core/model.h"
#include "records_model.h"

using fake::status_of;
using sidecall::Dims;
using sidecall::Signature;
using sidecall::TensorSpec;

namespace {

constexpr int kMany = 100000;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kSeconds = 100;  // a test takes 5 to 12 s with a sanitizer on a busy machine
#else
constexpr double kSeconds = 10;
#endif

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double seconds_of(const std::function<void()>& work) {
  const double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

// "[item(0), item(1), ...]"
std::string list_of(int count, const std::function<std::string(int)>& item) {
  std::string text = "[";
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + item(i);
  return text + "]";
}

std::string numbered(const char* start, int i) { return start + std::to_string(i); }

// A contract of `count` features with one input each, as many outputs, and golden rows.
std::string wide_contract(int count) {
  const auto each = [&](const std::function<std::string(int)>& item) {
    return list_of(count, item);
  };
  const auto members = [&](const std::string& value) {
    std::string text = "{";
    for (int i = 0; i < count; ++i)
      text += (i == 0 ? "\"" : ",\"") + numbered("y", i) + "\":" + value;
    return text + "}";
  };
  return R"({"format":5,"model":{"id":"0"},"features":)" + each([](int i) {
           return R"({"name":")" + numbered("f", i) +
                  R"(","type":"float64","nullable":false,"input":")" + numbered("x", i) +
                  R"(","column":0})";
         }) +
         R"(,"outputs":)" +
         each([](int i) {
           return R"({"name":")" + numbered("y", i) +
                  R"(","role":"label","type":"int64","classes":[0,1],"decision":{"rule":"argmax","output":"s"}})";
         }).insert(1, R"({"name":"s","role":"scores","type":"float64","width":2},)") +
         R"(,"verification":{"source":"synthetic","rows":2,"features":)" +
         each([](int) { return "[0,0]"; }) + R"(,"outputs":)" +
         members("[0,1]").insert(1, R"("s":[[0,0],[0,0]],)") +
         R"(,"tolerance":{"s":{"absolute":0,"relative":0}}}})";
}

std::unique_ptr<fake::Engine> wide_engine(int count) {
  auto engine = std::make_unique<fake::Engine>();
  engine->outputs.push_back(fake::tensor("s", SIDECALL_DTYPE_FLOAT64, {-1, 2}));
  for (int i = 0; i < count; ++i) {
    engine->inputs.push_back(fake::tensor(numbered("x", i), SIDECALL_DTYPE_FLOAT64, {-1, 1}));
    engine->outputs.push_back(fake::tensor(numbered("y", i), SIDECALL_DTYPE_INT64, {-1}));
  }
  return engine;
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const sidecall::Error& error) {
    return error.what();
  }
  return "";
}

// Names with equal std::hash values. libstdc++ uses MurmurHash64A with a fixed, public seed.
constexpr uint64_t kMultiplier = UINT64_C(0xc6a4a7935bd1e995), kSeed = UINT64_C(0xc70f6907);

uint64_t inverse(uint64_t odd) {
  uint64_t found = odd;
  for (int i = 0; i < 6; ++i) found *= 2 - odd * found;
  return found;
}

// The mixing step of the hash for a block of eight bytes. A second call with the inverse factor
// restores the block.
uint64_t scrambled(uint64_t block, uint64_t factor) {
  block *= factor;
  block ^= block >> 47;
  return block * factor;
}

uint64_t block_of(const std::string& text) {
  uint64_t block = 0;
  std::memcpy(&block, text.data(), sizeof block);
  return block;
}

// Each part of a name has one of two forms. Both forms lead the hash from the same state to the
// same next state.
std::vector<std::string> colliding_names(size_t parts) {
  std::mt19937_64 random(1);
  const auto letters = [&] {
    std::string text(8, ' ');
    for (char& c : text) c = static_cast<char>('a' + random() % 26);
    return text;
  };
  std::vector<std::string> names(1);
  uint64_t state = kSeed ^ (16 * parts * kMultiplier);
  for (size_t part = 0; part < parts;) {
    const std::string first = letters(), other_first = letters(), second = letters();
    const uint64_t after = (state ^ scrambled(block_of(first), kMultiplier)) * kMultiplier;
    const uint64_t other_after =
        (state ^ scrambled(block_of(other_first), kMultiplier)) * kMultiplier;
    const uint64_t end = after ^ scrambled(block_of(second), kMultiplier);
    const uint64_t needed = scrambled(end ^ other_after, inverse(kMultiplier));
    const std::string other_second(reinterpret_cast<const char*>(&needed), sizeof needed);
    const auto is_plain = [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; };
    if (!std::all_of(other_second.begin(), other_second.end(), is_plain)) continue;
    state = end * kMultiplier;
    ++part;
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      longer.push_back(name + first + second);
      longer.push_back(name + other_first + other_second);
    }
    names = std::move(longer);
  }
  return names;
}

}  // namespace

TEST_CASE("a signature of a hundred thousand inputs and outputs is read in time") {
  const auto tensors = [](const char* start) {
    return list_of(kMany, [&](int i) {
      return R"({"name":")" + numbered(start, i) +
             R"(","dtype":"float32","dims":[-1,1],"dim_names":["N",""]})";
    });
  };
  const std::string text = R"({"inputs":)" + tensors("x") + R"(,"outputs":)" + tensors("y") + "}";
  std::vector<TensorSpec> inputs, outputs;
  CHECK(seconds_of([&] {
          sidecall::read_signature_text(text, "server", SIDECALL_PROTOCOL, &inputs, &outputs);
        }) < kSeconds);
  CHECK(inputs.size() == kMany);
  CHECK(outputs.size() == kMany);
}

TEST_CASE("a contract of a hundred thousand features, inputs and outputs is read in time") {
  const std::string json = wide_contract(kMany);
  Signature signature;
  wide_engine(kMany)->sign(&signature);
  CHECK(seconds_of([&] {
          const sidecall::Contract contract = fake::parse_contract(json, "test", true, &signature);
          signature.index_records();
          CHECK(contract.golden.outputs.size() == kMany + 1);
        }) < kSeconds);
  CHECK(signature.columns.size() == kMany + 2);
}

TEST_CASE("tensors of a contract of a hundred thousand inputs are derived in time") {
  std::vector<TensorSpec> inputs, outputs;
  CHECK(seconds_of([&] {
          sidecall::tensors_of_contract(wide_contract(kMany), "test", &inputs, &outputs);
        }) < kSeconds);
  CHECK(inputs.size() == kMany);
}

TEST_CASE("a label of a hundred thousand classes is read in time") {
  const std::string classes =
      list_of(kMany, [](int i) { return '"' + numbered("class ", i) + '"'; });
  const std::string json =
      R"({"format":5,"model":{"id":"0"},"features":[{"name":"f","type":"float64","nullable":false,"input":"x","column":0}],"outputs":[)"
      R"({"name":"y","role":"label","type":"string","classes":)" +
      classes + R"(},{"name":"p","role":"probabilities","type":"float32","classes":)" + classes +
      "}]}";
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT64, {-1, 1})};
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_STRING, {-1}),
                    fake::tensor("p", SIDECALL_DTYPE_FLOAT32, {-1, kMany})};
  Signature signature;
  engine.sign(&signature);
  CHECK(seconds_of([&] {
          const sidecall::Contract contract = fake::parse_contract(json, "test", true, &signature);
          signature.index_records();
          for (const char* language : {"typescript", "python", "pydantic", "rust"}) {
            CHECK(sidecall::types_source(language, signature, &contract, "0", "m", nullptr).size() >
                  1000 * 1000);
          }
          // These do not name the columns.
          for (const char* language : {"go", "java"})
            CHECK(
                !sidecall::types_source(language, signature, &contract, "0", "m", nullptr).empty());
        }) < kSeconds);
  CHECK(signature.columns.size() == kMany + 1);
}

TEST_CASE(
    "golden rows of a hundred thousand outputs are compared in time, although a label of each "
    "output differs") {
  auto engine = wide_engine(kMany);
  sidecall::Origin origin;
  origin.label = "test";
  origin.contract = wide_contract(kMany);
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.verify = SIDECALL_VERIFY_WARN;
  std::string warning;
  CHECK(seconds_of([&] {
          warning = sidecall::Model::from_engine(std::move(engine), origin, options)->warning();
        }) < kSeconds);
  CHECK(warning == "");  // the scores of both classes are 0, so each label is right
}

TEST_CASE("golden rows that do not end by the deadline fail the open with TIMEOUT") {
  auto engine = wide_engine(1);
  std::atomic<bool> is_over{false};
  engine->on_interrupt = [&] { is_over = true; };
  engine->on_run = [&](fake::Context&) {
    while (!is_over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return sidecall::Outcome::kInterrupted;
  };
  sidecall::Origin origin;
  origin.label = "test";
  origin.contract = wide_contract(1);
  origin.deadline = sidecall::deadline_after(20 * 1000 * 1000);
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  CHECK(status_of([&] { sidecall::Model::from_engine(std::move(engine), origin, options); }) ==
        SIDECALL_TIMEOUT);
}

TEST_CASE("a call with a hundred thousand inputs and named dimensions is reshaped in time") {
  fake::Engine engine;
  for (int i = 0; i < kMany; ++i) {
    engine.inputs.push_back({numbered("x", i), SIDECALL_DTYPE_FLOAT32, {-1}, {numbered("N", i)}});
    engine.outputs.push_back({numbered("y", i), SIDECALL_DTYPE_FLOAT32, {-1}, {numbered("N", i)}});
  }
  Signature signature;
  engine.sign(&signature);
  CHECK(seconds_of([&] {
          sidecall::Call call(signature, engine, false, 2);
          sidecall_view view = SIDECALL_VIEW_INIT;
          for (int i = 0; i < kMany; ++i) call.view_input(i, &view);
          call.run(-1);
          call.view_output(kMany - 1, &view);
          CHECK(view.dims[0] == 2);
        }) < kSeconds);
}

TEST_CASE("names with equal hashes in the standard library are distinguished in time") {
  const std::vector<std::string> names = colliding_names(16);
#if defined(__GLIBCXX__)
  const std::hash<std::string> hash;
  REQUIRE(std::all_of(names.begin(), names.end(),
                      [&](const std::string& name) { return hash(name) == hash(names[0]); }));
#endif
  const std::string inputs = list_of(static_cast<int>(names.size()), [&](int i) {
    return R"({"name":")" + names[static_cast<size_t>(i)] + R"(","dtype":"bool","dims":[]})";
  });
  Signature signature;
  CHECK(seconds_of([&] {
          sidecall::read_signature_text(R"({"inputs":)" + inputs + R"(,"outputs":[]})", "server",
                                        SIDECALL_PROTOCOL, &signature.inputs, &signature.outputs);
          signature.index_tensors();
        }) < kSeconds);
  for (size_t i = 0; i < names.size(); i += 1000)
    CHECK(signature.input_names.find(names[i]) == static_cast<int32_t>(i));
  CHECK(signature.input_names.find(names[0] + "x") == -1);
}

TEST_CASE("nesting of any depth beyond the limit is refused") {
  std::vector<TensorSpec> inputs, outputs;
  const auto read = [&](int depth) {
    const std::string deep =
        std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
    sidecall::read_signature_text(R"({"inputs":[],"outputs":[],"more":)" + deep + "}", "server",
                                  SIDECALL_PROTOCOL, &inputs, &outputs);
    sidecall::tensors_of_contract(R"({"format":5,"features":[],"outputs":[],"more":)" + deep + "}",
                                  "test", &inputs, &outputs);
  };
  read(64);
  for (const int depth : {65, 1000, 1000 * 1000})
    CHECK(status_of([&] { read(depth); }) == SIDECALL_PROTOCOL);
  const std::string deep = std::string(1000 * 1000, '[') + std::string(1000 * 1000, ']');
  CHECK(status_of([&] {
          sidecall::tensors_of_contract(R"({"format":5,"more":)" + deep + "}", "test", &inputs,
                                        &outputs);
        }) == SIDECALL_CONTRACT_INVALID);
}

TEST_CASE("a key of one megabyte above many lists is read in time") {
  const std::string key(1000 * 1000, 'k');
  const std::string lists = list_of(kMany, [](int) { return "[]"; });
  std::vector<TensorSpec> inputs, outputs;
  const auto read = [&](const std::string& more) {
    sidecall::read_signature_text(R"({"inputs":[],"outputs":[],")" + key + "\":" + more + "}",
                                  "server", SIDECALL_PROTOCOL, &inputs, &outputs);
  };
  CHECK(seconds_of([&] { read(lists); }) < kSeconds);
  // The message still names the place, shortened.
  const std::string text = error_of([&] { read(R"([1,{"b":1,"b":2}])"); });
  CHECK(text == "server: signature: " + std::string(100, 'k') +
                    "...[1]: expected each key once, got 'b' twice");
}

TEST_CASE("a name of one megabyte above many golden rows is read in time") {
  const std::string name(1000 * 1000, 'y');
  const std::string rows = list_of(50000, [](int) { return "[0,0]"; }),
                    values = list_of(50000, [](int) { return "0"; });
  const std::string json =
      R"({"format":5,"model":{"id":"0"},"features":[{"name":"f","type":"float64","nullable":false,"input":"x","column":0}],)"
      R"("outputs":[{"name":")" +
      name +
      R"(","role":"scores","type":"int64","width":2}],"verification":{"source":"synthetic",)"
      R"("rows":50000,"features":[)" +
      values + R"(],"outputs":{")" + name + "\":" + rows + "}}}";
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT64, {-1, 1})};
  engine.outputs = {fake::tensor(name, SIDECALL_DTYPE_INT64, {-1, 2})};
  Signature signature;
  engine.sign(&signature);
  CHECK(seconds_of([&] {
          CHECK(fake::parse_contract(json, "test", true, &signature)
                    .golden.outputs.at(0)
                    .expected.size() == 100000);
        }) < kSeconds);
}

TEST_CASE(
    "outputs that declare more than a million columns together are refused before they are "
    "allocated") {
  std::string outputs;
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT64, {-1, 1})};
  for (int i = 0; i < 1000; ++i) {
    outputs += (i == 0 ? "" : ",") + (R"({"name":")" + numbered("y", i) +
                                      R"(","role":"scores","type":"float32","width":600000})");
    engine.outputs.push_back(fake::tensor(numbered("y", i), SIDECALL_DTYPE_FLOAT32, {-1, 600000}));
  }
  const std::string json =
      R"({"format":5,"model":{"id":"0"},"features":[{"name":"f","type":"float64","nullable":false,"input":"x","column":0}],"outputs":[)" +
      outputs + "]}";
  Signature signature, plain;
  engine.sign(&signature);
  engine.sign(&plain);
  CHECK(error_of([&] { fake::parse_contract(json, "test", true, &signature); }) ==
        "test: contract: outputs[1]: expected at most 1048576 columns in all outputs together, got "
        "more");
  sidecall::add_plain_columns(&plain);
  CHECK(plain.columns.size() == 600000);
}

TEST_CASE("inputs that declare more columns than there are features are refused") {
  const auto refusal = [](const std::string& features, const std::vector<Dims>& inputs) {
    fake::Engine engine;
    for (size_t i = 0; i < inputs.size(); ++i)
      engine.inputs.push_back(
          fake::tensor(numbered("x", static_cast<int>(i)), SIDECALL_DTYPE_FLOAT64, inputs[i]));
    engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT64, {-1})};
    Signature signature;
    engine.sign(&signature);
    const std::string json = R"({"format":5,"model":{"id":"0"},"features":)" + features +
                             R"(,"outputs":[{"name":"y","role":"prediction","type":"float64"}]})";
    return error_of([&] { fake::parse_contract(json, "test", true, &signature); });
  };
  const auto place = [](const char* name, int input, int column) {
    return std::string(R"({"name":")") + name + R"(","type":"float64","nullable":false,"input":")" +
           numbered("x", input) + R"(","column":)" + std::to_string(column) + "}";
  };
  CHECK(refusal("[" + place("a", 0, 0) + "," + place("b", 0, 1) + "]", {{-1, 2}}) == "");
  CHECK(refusal("[" + place("b", 0, 1) + "," + place("c", 1, 0) + "," + place("a", 0, 0) + "]",
                {{-1, 2}, {-1}}) == "");
  CHECK(refusal("[" + place("a", 0, 0) + "," + place("b", 0, 0) + "]", {{-1, 2}}) ==
        "test: contract: features: expected one feature for each column, got two in column 0 of "
        "the input of 'b'");
  CHECK(refusal("[" + place("a", 0, 1) + "," + place("b", 1, 0) + "]", {{-1, 2}, {-1, 1}}) ==
        "test: contract: features: expected a feature for every column, got none for column 0 of "
        "input 'x0'");
  CHECK(refusal("[" + place("a", 0, 0) + "]", {{-1, 1}, {-1, 1}}) ==
        "test: contract: features: expected a feature for every column, got none for column 0 of "
        "input 'x1'");
  const std::string many =
      list_of(kMany, [&](int i) { return place(numbered("f", i).c_str(), 0, i); });
  std::string text;
  CHECK(seconds_of([&] { text = refusal(many, std::vector<Dims>(1000, Dims{-1, kMany})); }) <
        kSeconds);
  CHECK(text ==
        "test: contract: features: expected a feature for every column, got none for column 0 of "
        "input 'x1'");
}
