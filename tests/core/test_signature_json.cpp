// Signatures as JSON text, and the tensors of contracts that have no graph.
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "core/contract/signature_json.h"
#include "records_model.h"

using fake::status_of;
using sidecall::Dims;
using sidecall::Signature;
using sidecall::TensorSpec;

namespace {

struct Tensors {
  std::vector<TensorSpec> inputs, outputs;
};

Tensors read(const std::string& text) {
  Tensors tensors;
  sidecall::read_signature_text(
      text.find("}\n") == std::string::npos ? text : text.substr(0, text.find("}\n") + 1),
      "server 'shm:x'", SIDECALL_PROTOCOL, &tensors.inputs, &tensors.outputs);
  return tensors;
}

std::string refusal(const std::string& inputs) {
  try {
    read("{\"inputs\": " + inputs + ", \"outputs\": []}");
  } catch (const sidecall::Error& error) {
    CHECK(error.status() == SIDECALL_PROTOCOL);
    return error.what();
  }
  return "";
}

Tensors derive(const std::string& features, const std::string& outputs = "[]") {
  Tensors tensors;
  sidecall::tensors_of_contract(
      "{\"format\": 5, \"features\": " + features + ", \"outputs\": " + outputs + "}",
      "contract 'c'", &tensors.inputs, &tensors.outputs);
  return tensors;
}

std::string feature(const std::string& name, const std::string& type, const std::string& input,
                    int column, const std::string& more = "") {
  return "{\"name\": \"" + name + "\", \"type\": \"" + type +
         "\", \"nullable\": false, \"input\": \"" + input +
         "\", \"column\": " + std::to_string(column) + more + "}";
}

}  // namespace

TEST_CASE("an output can lack a shape, but an input cannot") {
  Signature signature;
  signature.outputs.push_back(fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {}));
  signature.outputs.push_back(fake::tensor("z", SIDECALL_DTYPE_FLOAT32, {}));
  signature.outputs[0].is_shaped = false;
  const Tensors tensors = read(sidecall::signature_text(signature));
  REQUIRE(tensors.outputs.size() == 2);
  CHECK_FALSE(tensors.outputs[0].is_shaped);
  CHECK(tensors.outputs[1].is_shaped);
  CHECK(refusal(R"([{"name": "x", "dtype": "float32", "dims": null}])").find("dims") !=
        std::string::npos);
}

TEST_CASE("a key with half of a surrogate pair is refused, and the fault is UTF-8") {
  for (const std::string half : {"\\udc00", "\\udddd"}) {
    const std::string tensor = R"([{"name": "x", "dtype": "float32", "dims": []}])";
    for (const std::string& text :
         {"{\"inputs\": [], \"outputs\": [], \"" + half + "\": 1}",
          "{\"" + half + "\": [{\"a\": 1, \"a\": 2}], \"inputs\": [], \"outputs\": []}",
          "{\"inputs\": " + tensor + ", \"outputs\": [], \"" + half + "\": {\"\": {}}}"}) {
      try {
        read(text);
        FAIL("was read: " << text);
      } catch (const sidecall::Error& error) {
        CHECK(error.status() == SIDECALL_PROTOCOL);
        REQUIRE(error.faults().size() == 1);
        CHECK(error.faults().front().name == "/");
        CHECK(error.faults().front().expected == "keys in UTF-8");
      }
    }
  }
}

TEST_CASE("a signature is the same after writing and reading it") {
  const fake::RecordsModel model;
  const std::string text = sidecall::signature_text(model.signature);
  const Tensors tensors = read(text);
  REQUIRE(tensors.inputs.size() == model.signature.inputs.size());
  REQUIRE(tensors.outputs.size() == model.signature.outputs.size());
  for (size_t i = 0; i < tensors.inputs.size(); ++i) {
    CHECK(tensors.inputs[i].name == model.signature.inputs[i].name);
    CHECK(tensors.inputs[i].dtype == model.signature.inputs[i].dtype);
    CHECK(tensors.inputs[i].dims == model.signature.inputs[i].dims);
    CHECK(tensors.inputs[i].dim_names == model.signature.inputs[i].dim_names);
  }
  CHECK(text == sidecall::signature_text(fake::RecordsModel().signature));
  CHECK(text.find('\n') != text.size() - 1);
}

TEST_CASE("the text of a signature without a contract has one line") {
  Signature signature;
  signature.inputs = {{"x \"\n\xc3\xa4", SIDECALL_DTYPE_STRING, {-1, 3}, {"N", ""}}};
  const std::string text = sidecall::signature_text(signature);
  CHECK(text ==
        "{\"inputs\":[{\"name\":\"x "
        "\\\"\\n\xc3\xa4\",\"dtype\":\"string\",\"dims\":[-1,3],\"dim_names\":[\"N\",\"\"]}],"
        "\"outputs\":[]}\n");
  CHECK(read(text).inputs[0].name == signature.inputs[0].name);
}

TEST_CASE(
    "a signature can have several lines, and its errors name no server if no server sent it") {
  std::vector<TensorSpec> inputs, outputs;
  sidecall::read_signature_text(
      "{\n \"inputs\": [],\n \"outputs\": [{\"name\": \"y\", \"dtype\": \"int8\", \"dims\": "
      "[2]}]\n}",
      "", SIDECALL_CONTRACT_INVALID, &inputs, &outputs);
  CHECK(inputs.empty());
  CHECK(outputs.at(0).dims == Dims{2});
  try {
    sidecall::read_signature_text("{\"inputs\": []}", "", SIDECALL_CONTRACT_INVALID, &inputs,
                                  &outputs);
    FAIL("expected an error");
  } catch (const sidecall::Error& error) {
    CHECK(error.status() == SIDECALL_CONTRACT_INVALID);
    CHECK(std::string(error.what()) == "signature: outputs: expected an array, got nothing");
  }
}

TEST_CASE("the text of a signature differs if anything differs that callers depend on") {
  const std::string text = sidecall::signature_text(fake::RecordsModel().signature);
  const auto changed = [&](const std::function<void(Signature*)>& change) {
    fake::RecordsModel model;
    change(&model.signature);
    return sidecall::signature_text(model.signature) != text;
  };
  CHECK(changed([](Signature* s) { s->inputs[0].dims[1] = 5; }));
  CHECK(changed([](Signature* s) { s->outputs[0].dtype = SIDECALL_DTYPE_INT64; }));
  CHECK(changed([](Signature* s) { s->features[0].nullable = true; }));
  CHECK(changed([](Signature* s) { s->features[0].name = "sum"; }));
  CHECK(changed([](Signature* s) { s->features[3].allowed_numbers.insert(7); }));
  CHECK(changed([](Signature* s) { s->features[8].allowed_strings.erase("male"); }));
  CHECK(changed([](Signature* s) { s->features[5].domain.numbers.push_back({0, 1}); }));
  CHECK(changed([](Signature* s) { s->features[4].domain.integers.push_back({0, 1}); }));
  CHECK(changed([](Signature* s) { s->features[7].takes_empty = false; }));
  CHECK(changed([](Signature* s) { s->features[4].missing_int = 0; }));
  CHECK(changed([](Signature* s) { s->features[7].missing_string = "none"; }));
  CHECK(changed([](Signature* s) { s->columns[1].key = "maybe"; }));
  CHECK(changed([](Signature* s) { std::swap(s->columns[1], s->columns[2]); }));
}

TEST_CASE("an invalid signature is refused, and the error names the place") {
  CHECK(refusal("[{\"name\": \"x\", \"dtype\": \"float33\", \"dims\": []}]") ==
        "server 'shm:x': signature: inputs[0].dtype: expected an element type, got 'float33'");
  CHECK(refusal("[{\"name\": \"x\", \"dtype\": \"float32\", \"dims\": [-2]}]") ==
        "server 'shm:x': signature: inputs[0].dims[0]: expected a dimension, or -1, got -2");
  CHECK(refusal("[{\"name\": \"x\", \"dtype\": \"float32\", \"dims\": [1], \"dim_names\": []}]") ==
        "server 'shm:x': signature: inputs[0].dim_names: expected 1 names, got 0");
  CHECK(refusal("[{\"dtype\": \"float32\", \"dims\": []}]") ==
        "server 'shm:x': signature: inputs[0].name: expected a string, got nothing");
  CHECK(refusal("[{\"name\": \"x\", \"dtype\": \"bool\", \"dims\": []}, {\"name\": \"x\", "
                "\"dtype\": \"bool\", \"dims\": []}]") ==
        "server 'shm:x': signature: inputs[1].name: expected a unique name, got 'x' again");
  CHECK(refusal("[{\"name\": \"a\\u0000b\", \"dtype\": \"bool\", \"dims\": []}]") ==
        "server 'shm:x': signature: inputs[0].name: expected a name, got one with a NUL");
  CHECK(refusal("[{\"name\": \"x\", \"dtype\": \"bool\", \"dims\": "
                "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}]") ==
        "server 'shm:x': signature: inputs[0].dims: expected at most 16 dimensions, got 17");
  CHECK(refusal("3") == "server 'shm:x': signature: inputs: expected an array, got a number");
  CHECK(refusal("[").rfind("server 'shm:x': signature: not valid JSON: ", 0) == 0);
  CHECK(status_of([] { read(""); }) == SIDECALL_PROTOCOL);
}

TEST_CASE("inputs are derived from features: one common type, or float64 for mixed numbers") {
  const Tensors tensors =
      derive("[" + feature("a", "float32", "X", 0) + "," + feature("b", "int64", "X", 1) + "," +
             feature("job", "string", "job", 0) + "," + feature("on", "bool", "flags", 1) + "," +
             feature("off", "bool", "flags", 0) + "," + feature("n", "int64", "n", 0) + "," +
             feature("f", "float32", "f", 0) + "]");
  REQUIRE(tensors.inputs.size() == 5);
  const auto check = [](const TensorSpec& spec, const char* name, int32_t dtype, int64_t width) {
    CHECK(spec.name == name);
    CHECK(spec.dtype == dtype);
    CHECK(spec.dims == Dims{-1, width});
    CHECK(spec.dim_names == std::vector<std::string>{"N", ""});
  };
  check(tensors.inputs[0], "X", SIDECALL_DTYPE_FLOAT64, 2);
  check(tensors.inputs[1], "job", SIDECALL_DTYPE_STRING, 1);
  check(tensors.inputs[2], "flags", SIDECALL_DTYPE_BOOL, 2);
  check(tensors.inputs[3], "n", SIDECALL_DTYPE_INT64, 1);
  check(tensors.inputs[4], "f", SIDECALL_DTYPE_FLOAT32, 1);
}

TEST_CASE("the code for missing values also decides the type of an input") {
  const auto type_of = [](const std::string& type, const std::string& missing) {
    return derive("[" + feature("a", type, "a", 0, ", \"missing\": " + missing) + "]")
        .inputs[0]
        .dtype;
  };
  CHECK(type_of("int64", "\"nan\"") == SIDECALL_DTYPE_FLOAT64);
  CHECK(type_of("int64", "{\"value\": -1}") == SIDECALL_DTYPE_INT64);
  CHECK(type_of("bool", "\"nan\"") == SIDECALL_DTYPE_FLOAT64);
  CHECK(type_of("bool", "{\"value\": 2}") == SIDECALL_DTYPE_INT64);
  CHECK(type_of("float32", "\"nan\"") == SIDECALL_DTYPE_FLOAT32);
  CHECK(type_of("string", "{\"value\": \"-\"}") == SIDECALL_DTYPE_STRING);
}

TEST_CASE("outputs are derived from roles, classes and widths") {
  const Tensors tensors = derive("[]", R"([
    {"name": "label", "role": "label", "type": "bool", "classes": [false, true]},
    {"name": "probabilities", "role": "probabilities", "type": "float32", "classes": [false, true]},
    {"name": "prediction", "role": "prediction", "type": "float64"},
    {"name": "scores", "role": "scores", "type": "float64", "width": 3}])");
  REQUIRE(tensors.outputs.size() == 4);
  CHECK(tensors.outputs[0].dims == Dims{-1});
  CHECK(tensors.outputs[0].dtype == SIDECALL_DTYPE_BOOL);
  CHECK(tensors.outputs[1].dims == Dims{-1, 2});
  CHECK(tensors.outputs[2].dims == Dims{-1});
  CHECK(tensors.outputs[3].dims == Dims{-1, 3});
}

TEST_CASE("a derived signature fits the contract from which it was derived") {
  fake::Engine engine;
  sidecall::tensors_of_contract(fake::kRecordsContract, "contract", &engine.inputs,
                                &engine.outputs);
  Signature signature;
  engine.sign(&signature);
  const sidecall::Contract contract =
      fake::parse_contract(fake::kRecordsContract, "contract", false, &signature);
  signature.index_records();
  CHECK(contract.id == "00");
  CHECK(signature.features.size() == 9);
  sidecall::Call call(signature, engine, false, 2);
  call.features().set_str(1, 7, "nurse");
}

TEST_CASE(
    "contracts from which no tensors can be derived are refused, and the error names the place") {
  const auto text_of = [](const std::string& features, const std::string& outputs = "[]") {
    try {
      derive(features, outputs);
    } catch (const sidecall::Error& error) {
      CHECK(error.status() == SIDECALL_CONTRACT_INVALID);
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(text_of("[" + feature("a", "string", "X", 0) + "," + feature("b", "int64", "X", 1) + "]") ==
        "contract 'c': contract: features[1].type: expected the type of the other features of "
        "input 'X', got int64");
  CHECK(text_of("[" + feature("a", "date", "X", 0) + "]") ==
        "contract 'c': contract: features[0].type: expected float32, float64, int64, bool, string "
        "or datetime, got 'date'");
  CHECK(text_of("[" + feature("a", "int64", "X", -1) + "]") ==
        "contract 'c': contract: features[0].column: expected 0 to 1048575, got -1");
  CHECK(text_of("[" + feature("a", "int64", "", 0) + "]") ==
        "contract 'c': contract: features[0].input: expected a name, got an empty one or one with "
        "a NUL");
  CHECK(text_of("[]", R"([{"name": "y", "role": "prediction", "type": "number"}])") ==
        "contract 'c': contract: outputs[0].type: expected an element type, got 'number'");
  CHECK(text_of("[]", R"([{"name": "y", "role": "prediction", "type": "float64", "width": 0}])") ==
        "contract 'c': contract: outputs[0].width: expected 1 to 1048576, got 0");
}
