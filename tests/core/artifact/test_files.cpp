// Model files and contracts with false claims.
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/artifact/onnx_file.h"
#include "core/contract/contract_reader.h"
#include "onnx_builder.h"
#include "tests/core/records_model.h"

using fake::status_of;
using onnx::hash_of;
using sidecall::OnnxFile;

namespace {

using namespace std::string_literals;

std::string bytes_field(const std::string& tag, const std::string& payload) {
  REQUIRE(payload.size() < 128);
  return tag + static_cast<char>(payload.size()) + payload;
}

// A model whose only initializer lies in the file `location`; `tag` precedes its external_data
// field.
std::string external_model(const std::string& location, const std::string& tag) {
  const std::string entry = bytes_field("\x0a", "location") + bytes_field("\x12", location);
  return bytes_field("\x3a", bytes_field("\x2a", bytes_field(tag, entry)));
}

int32_t parse(const std::string& outputs, const std::string& verification = "null") {
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT32, {-1})};
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {-1, -1}),
                    fake::tensor("y.0", SIDECALL_DTYPE_FLOAT32, {-1}),
                    fake::tensor("n", SIDECALL_DTYPE_INT64, {-1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  const std::string json =
      R"({"format": 5, "model": {"id": ""}, "features": [{"name": "x", "type": "float32", "nullable": false, "input": "x", "column": 0}],
                              "outputs": )" +
      outputs + R"(, "verification": )" + verification + "}";
  return status_of([&] { fake::parse_contract(json, "test", true, &signature); });
}

}  // namespace

TEST_CASE("external data behind a tag that protobuf would truncate are refused") {
  CHECK(status_of([] { OnnxFile(external_model("../secret", "\x6a"), "/tmp", "m"); }) ==
        SIDECALL_FILE_FORBIDDEN);
  CHECK(status_of([] {
          OnnxFile(external_model("../secret", "\xea\x80\x80\x80\x10"), "/tmp", "m");
        }) == SIDECALL_FILE_INVALID);
}

TEST_CASE("external data at an address in memory are refused") {
  const auto folder = std::filesystem::temp_directory_path() / "sidecall-core-tests";
  std::filesystem::create_directories(folder / "*" / "_ORT_MEM_ADDR_");
  std::ofstream(folder / "*" / "_ORT_MEM_ADDR_" / "*") << "0123";
  CHECK(status_of([&] {
          OnnxFile(external_model("*/_ORT_MEM_ADDR_/*", "\x6a"), std::filesystem::canonical(folder),
                   "m");
        }) == SIDECALL_FILE_FORBIDDEN);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a key of metadata_props that appears twice is refused") {
  const std::string graph = bytes_field("\x3a", "");
  const std::string entry =
      bytes_field("\x72", bytes_field("\x0a", "sidecall.contract") + bytes_field("\x12", "{}"));
  CHECK(*OnnxFile(graph + entry, "", "m").metadata("sidecall.contract") == "{}");
  CHECK(status_of([&] { OnnxFile(graph + entry + entry, "", "m"); }) == SIDECALL_FILE_INVALID);
}

TEST_CASE("the id of a very short file is kept when its object is moved") {
  OnnxFile file("\x3a\x02\x12\x00"s, "", "m");
  const OnnxFile moved = std::move(file);
  CHECK(moved.compute_id() == hash_of("\x3a\x02\x12\x00"s));
}

TEST_CASE("the id covers all bytes of a file but the id that it holds") {
  const auto id_of = [](const std::string& bytes) { return OnnxFile(bytes, "", "m").compute_id(); };
  const auto with_id = [](const std::string& id, const std::string& after = "") {
    return bytes_field("\x3a", "") +
           bytes_field("\x72", bytes_field("\x0a", "sidecall.id") + bytes_field("\x12", id)) +
           after;
  };
  const std::string blank(64, '0');
  const std::string id = id_of(with_id(blank));
  CHECK(id == hash_of(with_id(blank)));
  CHECK(id_of(with_id(id)) == id);
  CHECK(id_of(with_id(std::string(64, 'f'))) == id);
  CHECK(id_of(with_id(id, bytes_field("\x42", "\x10\x14"))) != id);
  // An id of another length is a value like any other.
  CHECK(id_of(with_id("00")) == hash_of(with_id("00")));
}

TEST_CASE("contracts with ambiguous or impossible outputs are refused") {
  const std::string y = R"({"name": "y", "role": "scores", "type": "float32", "width": 2})";
  CHECK(parse("[" + y + "]") == SIDECALL_OK);
  CHECK(parse("[" + y + "," + y + "]") == SIDECALL_CONTRACT_INVALID);
  CHECK(parse("[" + y + R"(, {"name": "y.0", "role": "scores", "type": "float32"}])") ==
        SIDECALL_CONTRACT_INVALID);
  CHECK(
      parse(
          R"([{"name": "y", "role": "scores", "type": "float32", "width": 4611686018427387904}])") ==
      SIDECALL_CONTRACT_INVALID);
  CHECK(
      parse(
          R"([{"name": "y", "role": "probabilities", "type": "float32", "classes": ["\udc00"]}])") ==
      SIDECALL_CONTRACT_INVALID);
  // If the decision of a label named a tensor without scores, verification would accept any label.
  CHECK(
      parse(
          R"([{"name": "n", "role": "label", "type": "int64", "classes": [0, 1], "decision": {"rule": "argmax", "output": "n"}}])",
          R"({"source": "real", "rows": 1, "features": [[1]], "outputs": {"n": [1]}, "tolerance": {}})") ==
      SIDECALL_CONTRACT_INVALID);
}

TEST_CASE("a zero in a contract is read in every notation") {
  sidecall::json::Document document;
  const std::string numbers =
      "[0e-300, 0e-92, -0.00000000000000000000000000, 0.0, 0.1, 5e-324, 9007199254740993, 1e5]";
  sidecall::parse_json(numbers, &document);
  for (rapidjson::SizeType i = 0; i < 4; ++i) CHECK(document[i].GetDouble() == 0);
  CHECK(document[4].GetDouble() == 0.1);
  CHECK(document[5].GetDouble() == 5e-324);
  CHECK(document[6].GetInt64() == 9007199254740993);
  CHECK(document[7].GetDouble() == 1e5);
  for (const std::string& text : {"[1e-400]"s, "[1e400]"s, "[1]\0"s, "[1"s, "[01]"s}) {
    CHECK(status_of([&] { sidecall::parse_json(text, &document); }) == SIDECALL_CONTRACT_INVALID);
  }
}

TEST_CASE("a contract can begin with one UTF-8 byte order mark") {
  const auto error_of = [](const std::string& json) -> std::string {
    try {
      sidecall::json::Document document;
      sidecall::parse_json(json, &document);
      return "";
    } catch (const sidecall::Error& error) {
      return error.what();
    }
  };
  const std::string mark = "\xef\xbb\xbf";
  CHECK(error_of(mark + R"({"a": 1})").empty());
  CHECK(error_of(mark + mark + "{}").find("(byte 3)") != std::string::npos);
  CHECK(error_of(mark + R"({"a": 1} x)").find("(byte 12)") != std::string::npos);
  // Characters that are truncated by the end of the text, in memory of exactly the text's size.
  for (const char* text : {"\xff\"}", "\xc3", "\xe2\x82", "\xf1", "\xf0\x9f\x98"}) {
    CHECK(
        error_of(std::string(R"({"a": "xxxxxxxxxxxxxxxxxxxxxxx)") + text).find("not valid JSON") !=
        std::string::npos);
    CHECK(error_of(text).find("not valid JSON") != std::string::npos);
  }
  CHECK_FALSE(error_of(mark).empty());
  CHECK_FALSE(error_of("").empty());
}

// A byte order mark leads to RapidJSON, which also reads what the quick reader leaves to it.
TEST_CASE("the quick reader of contracts accepts the texts that RapidJSON accepts") {
  const auto read = [](const std::string& text, sidecall::json::Document* document) {
    return status_of([&] { sidecall::parse_json(text, document); });
  };
  const std::string levels_64(64, '['), levels_65(65, '['), levels_70(70, '[');
  for (const std::string& text : {
           // Accepted.
           R"({})"s,
           R"([])"s,
           " [ 1 ,\t2\r\n, {\"a\" : [ ] , \"\":{ } } ] "s,
           R"("x")"s,
           "true"s,
           "[null, true, false]"s,
           R"({"a": "\u00e9\n", "b": "é", "c": "\ud800"})"s,
           R"({"__proto__": 1, "a.b": 2, "a.b": 3})"s,
           levels_64 + std::string(64, ']'),
           levels_65 + std::string(65, ']'),
           levels_70 + std::string(70, ']'),
           // Numbers.
           "[0, -0, 0.0, -0.0, 0e5, 0E-5, -0.0e+5]"s,
           "[1.5, -2.25, 123456789.125, 0.1, 0.3]"s,
           "[999999999999999999, 1000000000000000000, -999999999999999999]"s,
           "[9223372036854775807, 9223372036854775808, -9223372036854775808]"s,
           "[-9223372036854775809, 18446744073709551616, 100000000000000000000000]"s,
           "[9007199254740992.5, 9007199254740993.0, 0.000000000000000000000012345]"s,
           "[0.1234567890123456789, 3.4028235677973362e+38, 5e-324, 1e-324]"s,
           "[1.7976931348623157e308, 2.2250738585072014e-308, 1e300, 1e301, 12e299]"s,
           "[1e0000001, 1e+000000000000000000000000000001, 0.0001e310, 0e400, 0e-400]"s,
           "[" + std::string(310, '1') + "e-300]",
           "[0." + std::string(400, '0') + "1e300]",
           // Refused.
           ""s,
           " "s,
           "{"s,
           "["s,
           "[1"s,
           "[1,"s,
           "[1,]"s,
           "[,1]"s,
           "[1 2]"s,
           "{\"a\"}"s,
           "{\"a\":}"s,
           "{\"a\":1,}"s,
           "{a:1}"s,
           "{1:2}"s,
           "[1]x"s,
           "[1] [2]"s,
           "nul"s,
           "nulll"s,
           "True"s,
           "[01]"s,
           "[-]"s,
           "[-01]"s,
           "[1.]"s,
           "[.5]"s,
           "[+1]"s,
           "[1e]"s,
           "[1e+]"s,
           "[1.e5]"s,
           "[0x1]"s,
           "[NaN]"s,
           "[Infinity]"s,
           "[1e400]"s,
           "[-1e400]"s,
           "[1e99999999999999999999]"s,
           "[\"a\nb\"]"s,
           "[\"a\x1f\"]"s,
           "[\"a]"s,
           R"(["\x"])"s,
           R"(["\u12"])"s,
           "['a']"s,
           "// 1\n[1]"s,
           "[1]//"s,
           "[\xa0]"s,
       }) {
    CAPTURE(text);
    sidecall::json::Document quick, other;
    CHECK(read(text, &quick) == read("\xef\xbb\xbf" + text, &other));
    const auto write = [](const sidecall::json::Document& document) {
      sidecall::json::Buffer buffer;
      sidecall::json::Writer writer(buffer);
      document.Accept(writer);
      return std::string(buffer.GetString(), buffer.GetSize());
    };
    CHECK(write(quick) == write(other));
  }
}

TEST_CASE("errors of a contract name the path of the value") {
  const auto error_of = [](const std::string& features) -> std::string {
    fake::Engine engine;
    engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT32, {-1})};
    engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {-1})};
    sidecall::Signature signature;
    engine.sign(&signature);
    try {
      fake::parse_contract(
          R"({"format": 5, "model": {"id": ""}, "outputs": [], "features": )" + features + "}",
          "test", true, &signature);
    } catch (const sidecall::Error& error) {
      REQUIRE(error.faults().size() == 1);
      return error.faults().front().name + ": " + error.what();
    }
    return "";
  };
  const std::string good =
      R"({"name": "x", "type": "float32", "nullable": false, "input": "x", "column": 0)";
  CHECK(error_of("[{}]") ==
        "features[0].name: test: contract: features[0].name: expected a string, got nothing");
  CHECK(error_of(R"([{"name": 1}])") ==
        "features[0].name: test: contract: features[0].name: expected a string, got a number");
  CHECK(error_of("{}") == "features: test: contract: features: expected an array, got an object");
  CHECK(error_of("[" + good + R"(, "domain": [[1, 2], [3, "x"]]}])") ==
        "features[0].domain[1][1]: test: contract: features[0].domain[1][1]: expected a number, "
        "got a string");
  CHECK(error_of("[" + good + R"(, "k": {"a": [{"b": 1, "b": 2}]}}])") ==
        "features[0].k.a[0]: test: contract: features[0].k.a[0]: expected each key once, got 'b' "
        "twice");
  const std::string key(300, 'k');
  CHECK(
      error_of("[{\"" + key + "\": {\"b\": 1, \"b\": 2}}]").find(std::string(100, 'k') + "...: ") !=
      std::string::npos);
}

TEST_CASE("a key that occurs twice is found among many") {
  sidecall::json::Document document;
  std::string members = R"("b": 0)";
  for (int i = 0; i < 40; ++i) {
    const auto refused = [&](const std::string& more) {
      const std::string json = "{" + members + more + "}";
      sidecall::parse_json(json, &document);
      return status_of([&] { sidecall::JsonNode(&document).require_unique_keys(); });
    };
    CHECK(refused("") == SIDECALL_OK);
    CHECK(refused(R"(, "b": 1)") == SIDECALL_CONTRACT_INVALID);
    members += ", \"" + std::to_string(i) + "\": 0";
  }
}

TEST_CASE("a deeply nested contract is refused") {
  constexpr size_t kDepth = 200000;
  CHECK(parse("[]", std::string(kDepth, '[') + std::string(kDepth, ']')) ==
        SIDECALL_CONTRACT_INVALID);
}

TEST_CASE("a graph's width is checked before memory is allocated for it") {
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT32, {-1, INT64_C(1) << 40})};
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {-1, INT64_C(1) << 40})};
  sidecall::Signature signature;
  engine.sign(&signature);
  sidecall::add_plain_columns(&signature);
  CHECK(signature.columns.empty());
  CHECK(status_of([&] {
          fake::parse_contract(
              R"({"format": 5, "model": {"id": ""}, "features": [], "outputs": [{"name": "y"}]})",
              "test", true, &signature);
        }) == SIDECALL_CONTRACT_INVALID);
}

TEST_CASE("a repeated column name gives its first index, and any other name gives its own index") {
  fake::Engine engine;
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {-1, 2}),
                    fake::tensor("y.1", SIDECALL_DTYPE_FLOAT32, {-1}),
                    fake::tensor("z", SIDECALL_DTYPE_FLOAT32, {-1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  sidecall::add_plain_columns(&signature);
  signature.index_records();
  CHECK(signature.column_names.find("y.1") == 1);
  CHECK(signature.columns[static_cast<size_t>(signature.column_names.find("z"))].name == "z");
}
