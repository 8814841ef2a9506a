// Statuses, versions, element types, and how errors are filled and truncated.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "support.h"

using support::error;
using support::last;
using support::status;

namespace {

bool is_utf8_cut_whole(const char* text) {
  const size_t length = std::strlen(text);
  size_t at = 0;
  while (at < length) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (at + size > length) return false;
    at += size;
  }
  return true;
}

}  // namespace

TEST_CASE("the version functions agree with the header") {
  CHECK(sidecall_abi_version() == SIDECALL_ABI_VERSION);
  const std::string expected = std::to_string(SIDECALL_VERSION_MAJOR) + "." +
                               std::to_string(SIDECALL_VERSION_MINOR) + "." +
                               std::to_string(SIDECALL_VERSION_PATCH);
  CHECK(sidecall_version() == expected);
}

TEST_CASE("every status has a unique name, and every other number is UNKNOWN") {
  const std::set<int32_t> all = {0,  10, 11, 12, 13, 20, 21, 22, 23, 24, 30, 31, 32,
                                 33, 34, 35, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49,
                                 50, 51, 52, 53, 54, 55, 60, 61, 62, 63, 99};
  std::set<std::string> names;
  for (int32_t i = -5; i < 200; ++i) {
    const std::string name = sidecall_status_name(i);
    CHECK((name == "UNKNOWN") == (all.count(i) == 0));
    if (all.count(i) != 0) CHECK(names.insert(name).second);
  }
  CHECK(status(SIDECALL_OK) == "OK");
  CHECK(status(SIDECALL_DTYPE_MISMATCH) == "DTYPE_MISMATCH");
  CHECK(status(INT32_MIN) == "UNKNOWN");
}

TEST_CASE("element types have names and sizes") {
  struct Row {
    int32_t dtype;
    const char* name;
    int32_t bits;
  };
  const Row rows[] = {{SIDECALL_DTYPE_FLOAT32, "float32", 32},
                      {SIDECALL_DTYPE_UINT8, "uint8", 8},
                      {SIDECALL_DTYPE_INT8, "int8", 8},
                      {SIDECALL_DTYPE_UINT16, "uint16", 16},
                      {SIDECALL_DTYPE_INT16, "int16", 16},
                      {SIDECALL_DTYPE_INT32, "int32", 32},
                      {SIDECALL_DTYPE_INT64, "int64", 64},
                      {SIDECALL_DTYPE_STRING, "string", 0},
                      {SIDECALL_DTYPE_BOOL, "bool", 8},
                      {SIDECALL_DTYPE_FLOAT16, "float16", 16},
                      {SIDECALL_DTYPE_FLOAT64, "float64", 64},
                      {SIDECALL_DTYPE_UINT32, "uint32", 32},
                      {SIDECALL_DTYPE_UINT64, "uint64", 64},
                      {SIDECALL_DTYPE_BFLOAT16, "bfloat16", 16},
                      {SIDECALL_DTYPE_FLOAT8E4M3FN, "float8e4m3fn", 8},
                      {SIDECALL_DTYPE_FLOAT8E4M3FNUZ, "float8e4m3fnuz", 8},
                      {SIDECALL_DTYPE_FLOAT8E5M2, "float8e5m2", 8},
                      {SIDECALL_DTYPE_FLOAT8E5M2FNUZ, "float8e5m2fnuz", 8},
                      {SIDECALL_DTYPE_UINT4, "uint4", 4},
                      {SIDECALL_DTYPE_INT4, "int4", 4}};
  for (const Row& row : rows) {
    CHECK(sidecall_dtype_name(row.dtype) == std::string(row.name));
    CHECK(sidecall_dtype_bits(row.dtype) == row.bits);
  }
  for (const int32_t other : {-1, 0, 14, 15, 999}) {
    CHECK(sidecall_dtype_name(other) == std::string("unknown"));
    CHECK(sidecall_dtype_bits(other) == 0);
  }
}

TEST_CASE("an error is filled on failure and untouched on success") {
  sidecall_error filled = SIDECALL_ERROR_INIT;
  sidecall_model* model = reinterpret_cast<sidecall_model*>(&filled);
  CHECK(status(sidecall_model_open("no such file.onnx", nullptr, &model, &filled)) ==
        "FILE_NOT_FOUND");
  CHECK(model == nullptr);
  CHECK(filled.status == SIDECALL_FILE_NOT_FOUND);
  CHECK(filled.retryable == 0);
  CHECK(filled.row == -1);
  CHECK(std::string(filled.message).find("no such file.onnx") != std::string::npos);
  sidecall_error untouched;
  std::memset(&untouched, 0x5a, sizeof untouched);
  untouched.struct_size = sizeof untouched;
  untouched.faults = nullptr;
  untouched.faults_capacity = untouched.reserved = 0;
  const sidecall_error before = untouched;
  REQUIRE(sidecall_model_open(test_paths::model("add.onnx").c_str(), nullptr, &model, &untouched) ==
          SIDECALL_OK);
  CHECK(std::memcmp(&before, &untouched, sizeof before) == 0);
  sidecall_model_close(model);
}

TEST_CASE("an error struct without its size is not written, and the status is still returned") {
  sidecall_error blank;
  std::memset(&blank, 0, sizeof blank);
  sidecall_model* model = nullptr;
  CHECK(status(sidecall_model_open("no such file.onnx", nullptr, &model, &blank)) ==
        "FILE_NOT_FOUND");
  CHECK(blank.message[0] == '\0');
  CHECK(status(sidecall_model_open("no such file.onnx", nullptr, &model, nullptr)) ==
        "FILE_NOT_FOUND");
}

TEST_CASE("an error struct of a newer header is filled in the fields that are known") {
  struct Newer {
    sidecall_error error;
    unsigned char tail[64];
  } newer{};
  newer.error = SIDECALL_ERROR_INIT;
  newer.error.struct_size = sizeof newer;
  sidecall_model* model = nullptr;
  CHECK(status(sidecall_model_open("no such file.onnx", nullptr, &model, &newer.error)) ==
        "FILE_NOT_FOUND");
  CHECK(newer.error.status == SIDECALL_FILE_NOT_FOUND);
  for (const unsigned char byte : newer.tail) CHECK(byte == 0);
}

TEST_CASE("texts are cut between two characters") {
  const sidecall::Model model = support::open("matrix.onnx");
  // Names with characters of two, three and four bytes, shifted by up to three bytes so that each
  // cut falls inside a character.
  for (const char* character : {"é", "€", "🐧"}) {
    for (size_t shift = 0; shift < 4; ++shift) {
      std::string name(shift, 'x');
      while (name.size() < 2000) name += character;
      int32_t index = 0;
      CHECK(status(sidecall_model_find(model.get(), SIDECALL_KIND_FEATURE, name.data(), name.size(),
                                       &index, error())) == "UNKNOWN_NAME");
      CHECK(index == -1);
      for (const char* text : {last().name, last().expected, last().got, last().message})
        CHECK(is_utf8_cut_whole(text));
      CHECK(std::strlen(last().name) > sizeof last().name - 5);
      CHECK(name.compare(0, std::strlen(last().name), last().name) == 0);
      CHECK(std::strlen(last().message) < sizeof last().message);
    }
  }
}

TEST_CASE("faults beyond the limit are counted, but not kept") {
  const sidecall::Model model = support::open("matrix.onnx");
  sidecall::Call call(model, 1);
  for (int32_t feature = 0; feature < sidecall_model_num_features(model.get()); ++feature) {
    const bool is_bool = model.feature_spec(feature)->dtype == SIDECALL_DTYPE_BOOL;
    CHECK(status(is_bool ? sidecall_call_set_bool(call.get(), 0, feature, 1, error())
                         : sidecall_call_set_f64(call.get(), 0, feature, 1, error())) == "OK");
  }
  for (int i = 0; i < 1500; ++i) {
    const std::string name = "unknown_" + std::to_string(i);
    CHECK(status(sidecall_call_set_unknown(call.get(), 0, name.data(), name.size(), error())) ==
          "UNKNOWN_NAME");
  }
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNKNOWN_NAME");
  CHECK(last().num_faults == 1500);
}

TEST_CASE("faults are stored only in the memory that the caller provides") {
  const sidecall::Model model = support::open("kinds.onnx");
  sidecall_fault faults[3];
  std::memset(faults, 0x5a, sizeof faults);
  sidecall_error room = SIDECALL_ERROR_INIT;
  room.faults = faults;
  room.faults_capacity = 2;
  sidecall_text* text = nullptr;
  const std::string json = R"([{"f32": "x", "flag": 3}, {"word": []}])";
  CHECK(status(sidecall_predict_json(model.get(), json.data(), json.size(), &text, &room)) ==
        "DTYPE_MISMATCH");
  CHECK(text == nullptr);
  // There are 3 wrong types, and in each row 5 missing features that are not nullable.
  CHECK(room.num_faults == 13);
  CHECK(room.faults == faults);
  CHECK(faults[0].row == 0);
  CHECK(faults[0].name == std::string("f32"));
  CHECK(faults[0].expected == std::string("float32"));
  CHECK(faults[0].got == std::string("string"));
  CHECK(faults[0].message == std::string("feature 'f32': expected float32, got string"));
  CHECK(faults[0].status == SIDECALL_DTYPE_MISMATCH);
  CHECK(faults[1].row == 0);
  // This fault is beyond the capacity, so it must not be written.
  CHECK(reinterpret_cast<unsigned char*>(&faults[2])[0] == 0x5a);
  // The message contains no value of the data.
  CHECK(std::string(room.message).find("\"x\"") == std::string::npos);
}

TEST_CASE("a fault says what its name names") {
  const sidecall::Model model = support::open("kinds.onnx");
  sidecall_fault fault{};
  sidecall_error room = SIDECALL_ERROR_INIT;
  room.faults = &fault;
  room.faults_capacity = 1;
  const auto kind_of = [&](const std::string& json) {
    fault.kind = -1;
    sidecall_text* text = nullptr;
    CHECK(sidecall_predict_json(model.get(), json.data(), json.size(), &text, &room) !=
          SIDECALL_OK);
    return fault.kind;
  };
  CHECK(kind_of(R"({"f32": "x"})") == SIDECALL_FAULT_FEATURE);
  CHECK(kind_of("[]") == SIDECALL_FAULT_RECORDS);
  CHECK(std::string(fault.name).empty());
  const sidecall::Call call(model, 1);
  CHECK(status(sidecall_call_run(call.get(), -1, &room)) == "MISSING_INPUT");
  CHECK(fault.kind == SIDECALL_FAULT_INPUT);
}

TEST_CASE("a caller with room for more faults than the limit gets the number of stored faults") {
  const sidecall::Model model = support::open("text.onnx");
  std::string json = "[";
  for (int i = 0; i < 1500; ++i) json += i == 0 ? "{}" : ",{}";
  json += "]";
  for (const uint32_t capacity : {0U, 10U, 1000U, 2000U}) {
    std::vector<sidecall_fault> faults(capacity);
    sidecall_error room = SIDECALL_ERROR_INIT;
    room.faults = faults.empty() ? nullptr : faults.data();
    room.faults_capacity = capacity;
    sidecall_text* text = nullptr;
    CHECK(status(sidecall_predict_json(model.get(), json.data(), json.size(), &text, &room)) ==
          "MISSING_VALUE");
    CHECK(room.num_faults == (capacity == 2000 ? 1000 : 1500));
    if (capacity > 0)
      CHECK(faults[std::min<size_t>(capacity, 1000) - 1].row ==
            std::min<int64_t>(capacity, 1000) - 1);
  }
}

TEST_CASE("a fault is one line even if its name contains control characters") {
  const sidecall::Model model = support::open("names.onnx");
  sidecall_fault faults[3];
  sidecall_error room = SIDECALL_ERROR_INIT;
  room.faults = faults;
  room.faults_capacity = 3;
  sidecall_text* text = nullptr;
  CHECK(status(sidecall_predict_json(model.get(), "{}", 2, &text, &room)) == "MISSING_VALUE");
  REQUIRE(room.num_faults == 3);
  CHECK(std::strchr(faults[2].name, '\n') != nullptr);
  CHECK(faults[2].message ==
        std::string(
            "feature 'tab\\tnew\\nline \xf0\x9f\x90\xa7': expected float32, got a missing value"));
}

TEST_CASE("a C++ exception keeps all fields of the error, and copies share them") {
  const sidecall::Model model = support::open("kinds.onnx");
  try {
    model.predict_json(R"({"f32": "x"})");
    FAIL("expected an error");
  } catch (const sidecall::Error& first) {
    const sidecall::Error copy = first;
    CHECK(copy.what() == first.what());
    CHECK(copy.status() == SIDECALL_DTYPE_MISMATCH);
    CHECK(copy.status_name() == std::string("DTYPE_MISMATCH"));
    CHECK_FALSE(copy.retryable());
    CHECK(copy.row() == 0);
    CHECK(copy.num_faults() == 6);
    REQUIRE(copy.faults().size() == 6);
    CHECK(copy.faults()[0].name == std::string("f32"));
  }
  CHECK_THROWS_AS(sidecall::Model("no such file.onnx"), sidecall::Error);
  CHECK_THROWS_AS(sidecall::Model("no such file.onnx"), std::exception);
}
