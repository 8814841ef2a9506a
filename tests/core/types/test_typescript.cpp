// The TypeScript declarations of models with names, classes and lists that no file of tests/vectors
// has. tests/node compiles declarations.
#include <sidecall/sidecall.h>

#include <catch2/catch_test_macros.hpp>

#include "command/types/typescript.h"
#include "command/types/typescript_text.h"
#include "tests/core/records_model.h"

using sidecall::checked_type_name;
using sidecall::Signature;
using sidecall::type_name_from;
using sidecall::typescript::comment_text;
using sidecall::typescript::quoted;
using sidecall::typescript::union_of;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Declares a model with one feature and one output. `feature` and `output` are their JSON members
// without name, input and column.
std::string declare(const std::string& feature, int32_t input_dtype, const std::string& output,
                    int32_t output_dtype, int64_t width = 1,
                    const std::string& model = R"("name": "m")") {
  fake::Engine engine;
  engine.inputs = {fake::tensor("X", input_dtype, {-1, 1})};
  engine.outputs = {fake::tensor("y", output_dtype, {-1, width})};
  Signature signature;
  engine.sign(&signature);
  const std::string contract = R"({"format": 5, "model": {"id": "00", )" + model +
                               R"(}, "features": [{"name": "x", "input": "X", "column": 0, )" +
                               feature + R"(}], "outputs": [{"name": "y", )" + output + "}]}";
  const sidecall::Contract parsed = fake::parse_contract(contract, "test", true, &signature);
  signature.index_records();
  return sidecall::typescript_declaration(signature, &parsed, parsed.id, "M");
}

std::string feature_line(const std::string& type, int32_t dtype, const std::string& more) {
  const std::string text =
      declare(R"("type": ")" + type + "\", " + more, dtype,
              R"("role": "prediction", "type": "float32")", SIDECALL_DTYPE_FLOAT32);
  const size_t start = text.find("    x");
  return text.substr(start + 4, text.find('\n', start) - start - 4);
}

std::string output_line(const std::string& output, int32_t dtype, int64_t width = 1) {
  const std::string text = declare(R"("type": "float32", "nullable": false)",
                                   SIDECALL_DTYPE_FLOAT32, output, dtype, width);
  const size_t start = text.find("    y");
  return text.substr(start + 4, text.find("\n  }", start) - start - 4);
}

}  // namespace

TEST_CASE("a datetime is text, a Date if it has a zone, and a number if the unit is known") {
  const auto line = [](const std::string& more) {
    return feature_line("datetime", SIDECALL_DTYPE_INT64, more);
  };
  const std::string missing =
      R"("nullable": true, "missing": {"value": -9223372036854775808}, "unit": "ns")";
  CHECK(line(R"("nullable": false, "unit": "s")") == "x: string");
  CHECK(line(R"("nullable": false, "unit": "s", "zone": "UTC")") == "x: string | Date");
  CHECK(line(missing + R"(, "zone": "UTC", "epoch": "ms")") ==
        "x?: string | Date | number | bigint | null");
  CHECK(contains(declare(R"("type": "datetime", "nullable": false, "unit": "s", "zone": "UTC")",
                         SIDECALL_DTYPE_INT64, R"("role": "prediction", "type": "float32")",
                         SIDECALL_DTYPE_FLOAT32),
                 "Takes text with a time zone, such as '2026-01-31T12:30:00Z'."));
  CHECK(
      contains(declare(R"("type": "datetime", "nullable": false, "unit": "s", "domain": [[0, 1]])",
                       SIDECALL_DTYPE_INT64, R"("role": "prediction", "type": "float32")",
                       SIDECALL_DTYPE_FLOAT32),
               "Takes a datetime from '1970-01-01T00:00:00' to '1970-01-01T00:00:01'."));
}

TEST_CASE("a declaration has the types of the features, the answer and the tensors of a model") {
  const fake::RecordsModel model;
  sidecall::Contract contract;
  contract.text = fake::kRecordsContract;
  contract.name = "all types";
  contract.version = "1";
  CHECK(sidecall::typescript_declaration(model.signature, &contract, "00", "AllTypes") ==
        R"(import type { Tensor, TensorLike } from 'sidecall'

/**
 * Model 'all types', version 1, id 00.
 * Written by `sidecall types`, for `open<AllTypes>(...)`.
 * Generate this file again when the model changes.
 */
export interface AllTypes {
  /** A record that `predict` takes. */
  features: {
    amount: number
    count?: number | bigint | null
    flag: boolean
    grade?: 1 | 2.5 | null
    id?: number | bigint | null
    time?: number | null
    on: boolean
    job?: string | null
    sex: 'female' | 'male'
  }
  /** The record that `predict` returns. */
  answer: {
    label: 'no' | 'yes'
    probabilities: {
      no: number
      yes: number
    }
    prediction: number
    scores: (number | bigint)[]
  }
  /** Tensors that `run` takes. */
  inputs: {
    X: TensorLike<Float32Array | Float64Array>
    id: TensorLike<BigInt64Array>
    time: TensorLike<Float32Array | Float64Array>
    on: TensorLike<Uint8Array>
    job: TensorLike<string[]>
    sex: TensorLike<string[]>
  }
  /** Tensors that `run` returns. */
  outputs: {
    label: Tensor<string[]>
    probabilities: Tensor<Float32Array>
    prediction: Tensor<Float64Array>
    scores: Tensor<BigInt64Array>
  }
  /** The inputs of a call. */
  views: {
    readonly X: Float32Array
    readonly id: BigInt64Array
    readonly time: Float64Array
    readonly on: Uint8Array
    job: TensorLike<string[]> | undefined
    sex: TensorLike<string[]> | undefined
  }
}
)");
}

TEST_CASE(
    "every element type has an array type, and a file without a contract has no record types") {
  const std::pair<int32_t, const char*> arrays[] = {
      {SIDECALL_DTYPE_FLOAT32, "Float32Array"},    {SIDECALL_DTYPE_FLOAT64, "Float64Array"},
      {SIDECALL_DTYPE_FLOAT16, "Float16Data"},     {SIDECALL_DTYPE_BFLOAT16, "Uint16Array"},
      {SIDECALL_DTYPE_INT8, "Int8Array"},          {SIDECALL_DTYPE_INT16, "Int16Array"},
      {SIDECALL_DTYPE_INT32, "Int32Array"},        {SIDECALL_DTYPE_INT64, "BigInt64Array"},
      {SIDECALL_DTYPE_UINT8, "Uint8Array"},        {SIDECALL_DTYPE_UINT16, "Uint16Array"},
      {SIDECALL_DTYPE_UINT32, "Uint32Array"},      {SIDECALL_DTYPE_UINT64, "BigUint64Array"},
      {SIDECALL_DTYPE_BOOL, "Uint8Array"},         {SIDECALL_DTYPE_STRING, "string[]"},
      {SIDECALL_DTYPE_FLOAT8E4M3FN, "Uint8Array"}, {SIDECALL_DTYPE_FLOAT8E4M3FNUZ, "Uint8Array"},
      {SIDECALL_DTYPE_FLOAT8E5M2, "Uint8Array"},   {SIDECALL_DTYPE_FLOAT8E5M2FNUZ, "Uint8Array"},
      {SIDECALL_DTYPE_UINT4, "Uint8Array"},        {SIDECALL_DTYPE_INT4, "Uint8Array"},
  };
  for (const auto& [dtype, array] : arrays) {
    Signature signature;
    signature.inputs = {fake::tensor("x", dtype, {-1})};
    signature.outputs = {fake::tensor("y", dtype, {})};
    const std::string text = sidecall::typescript_declaration(signature, nullptr, "00", "M");
    INFO(text);
    const bool has_widths = dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
    CHECK(contains(text, std::string("    x: TensorLike<") +
                             (has_widths ? "Float32Array | Float64Array" : array) + ">\n"));
    CHECK(contains(text, std::string("    y: Tensor<") + array + ">\n"));
    const bool is_string = dtype == SIDECALL_DTYPE_STRING;
    CHECK(contains(text, is_string ? "    x: TensorLike<string[]> | undefined\n"
                                   : std::string("    readonly x: ") + array + "\n"));
    CHECK(contains(text, "features: never\n"));
    CHECK(contains(text, "answer: never\n"));
    CHECK(contains(text, "A model without a name, id 00."));
    CHECK(contains(text, "import type { Float16Data, ") == (dtype == SIDECALL_DTYPE_FLOAT16));
  }
}

TEST_CASE("the declaration of a model without inputs imports only what it uses") {
  Signature signature;
  signature.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {1})};
  const std::string text = sidecall::typescript_declaration(signature, nullptr, "00", "M");
  CHECK(contains(text, "import type { Tensor } from 'sidecall'\n"));
  CHECK(contains(text, "inputs: Record<string, never>\n"));
}

TEST_CASE("features have their types, and can be null or one of a closed list") {
  const std::string must = R"("nullable": false)";
  const std::string may = R"("nullable": true, "missing": "nan")";
  CHECK(feature_line("float32", SIDECALL_DTYPE_FLOAT32, must) == "x: number");
  CHECK(feature_line("float64", SIDECALL_DTYPE_FLOAT64, may) == "x?: number | null");
  CHECK(feature_line("int64", SIDECALL_DTYPE_INT64, must) == "x: number | bigint");
  CHECK(feature_line("bool", SIDECALL_DTYPE_BOOL, must) == "x: boolean");
  CHECK(feature_line("string", SIDECALL_DTYPE_STRING, must) == "x: string");
  CHECK(feature_line("string", SIDECALL_DTYPE_STRING,
                     must + R"(, "allowed": ["it's", "a\"b", "a\\b", "a", "a"])") ==
        R"(x: 'it\'s' | 'a"b' | 'a\\b' | 'a')");
  CHECK(feature_line("string", SIDECALL_DTYPE_STRING, must + R"(, "allowed": [])") == "x: never");
  CHECK(feature_line("float32", SIDECALL_DTYPE_FLOAT32, may + R"(, "allowed": [])") ==
        "x?: never | null");
  CHECK(feature_line("int64", SIDECALL_DTYPE_INT64, must + R"(, "allowed": [3, -4])") ==
        "x: 3 | -4 | 3n | -4n");
  CHECK(feature_line("int64", SIDECALL_DTYPE_FLOAT32, may + R"(, "allowed": [1.0])") ==
        "x?: 1 | 1n | null");
  CHECK(feature_line("bool", SIDECALL_DTYPE_BOOL, must + R"(, "allowed": [true])") == "x: true");
  CHECK(feature_line("bool", SIDECALL_DTYPE_FLOAT32, must + R"(, "allowed": [0, 1])") ==
        "x: false | true");
  CHECK(feature_line("float64", SIDECALL_DTYPE_FLOAT64,
                     must + R"(, "allowed": [-0.0, 1e300, 0.1])") == "x: 0 | 1e+300 | 0.1");
}

TEST_CASE("lists with values that have no exact literal are not written as unions") {
  const std::string must = R"("nullable": false, "allowed": )";
  CHECK(feature_line("float64", SIDECALL_DTYPE_FLOAT64, must + R"([1, "nan"])") == "x: number");
  CHECK(feature_line("float64", SIDECALL_DTYPE_FLOAT64, must + R"(["-inf"])") == "x: number");
  CHECK(feature_line("int64", SIDECALL_DTYPE_INT64, must + "[9007199254740993]") ==
        "x: number | bigint");
  CHECK(feature_line("int64", SIDECALL_DTYPE_INT64, must + "[1.5]") == "x: number | bigint");
}

TEST_CASE("a comment above each feature says what it accepts") {
  const std::string output = R"("role": "prediction", "type": "float32")";
  const std::string number =
      declare(R"("type": "float64", "nullable": false, "domain": [[0, 0.5], [2, "inf"]])",
              SIDECALL_DTYPE_FLOAT64, output, SIDECALL_DTYPE_FLOAT32);
  CHECK(contains(number,
                 "    /** Takes a number from 0 to 0.5 or from 2 to inf. */\n    x: number\n"));
  const std::string text = declare(R"("type": "string", "nullable": false, "empty": false)",
                                   SIDECALL_DTYPE_STRING, output, SIDECALL_DTYPE_FLOAT32);
  CHECK(contains(text, "    /** Takes a string that is not empty. */\n    x: string\n"));
  CHECK_FALSE(contains(declare(R"("type": "string", "nullable": false, "empty": true)",
                               SIDECALL_DTYPE_STRING, output, SIDECALL_DTYPE_FLOAT32),
                       "Takes"));
}

TEST_CASE("the type of an answer depends on its role and classes") {
  CHECK(output_line(R"("role": "prediction", "type": "float64")", SIDECALL_DTYPE_FLOAT64) ==
        "y: number");
  CHECK(output_line(R"("role": "prediction", "type": "float32", "width": 3)",
                    SIDECALL_DTYPE_FLOAT32, 3) == "y: number[]");
  CHECK(output_line(R"("role": "label", "type": "int64")", SIDECALL_DTYPE_INT64) ==
        "y: number | bigint");
  CHECK(output_line(R"("role": "label", "type": "string")", SIDECALL_DTYPE_STRING) == "y: string");
  CHECK(output_line(R"("role": "label", "type": "int64", "classes": [2, 0, -1])",
                    SIDECALL_DTYPE_INT64) == "y: 2 | 0 | -1");
  CHECK(
      output_line(
          R"("role": "label", "type": "int64", "classes": [9007199254740991, 9007199254740992, -9223372036854775808])",
          SIDECALL_DTYPE_INT64) ==
      "y: 9007199254740991 | 9007199254740992n | -9223372036854775808n");
  CHECK(output_line(R"("role": "label", "type": "bool", "classes": [false, true])",
                    SIDECALL_DTYPE_INT64) == "y: false | true");
  CHECK(output_line(R"("role": "label", "type": "string", "classes": ["a", "b"], "width": 2)",
                    SIDECALL_DTYPE_STRING, 2) == "y: ('a' | 'b')[]");
  CHECK(output_line(R"("role": "label", "type": "string", "classes": ["a"], "width": 2)",
                    SIDECALL_DTYPE_STRING, 2) == "y: 'a'[]");
  CHECK(output_line(R"("role": "probabilities", "type": "float32", "classes": [0, 1])",
                    SIDECALL_DTYPE_FLOAT32,
                    2) == "y: {\n      '0': number\n      '1': number\n    }");
  // Classes of another type than the label give no literal types.
  CHECK(output_line(R"("role": "label", "type": "string", "classes": [0, 1])",
                    SIDECALL_DTYPE_STRING) == "y: string");
}

TEST_CASE("hundreds of classes are written one per line") {
  std::string classes;
  for (int i = 0; i < 300; ++i)
    classes += (i == 0 ? "\"class " : ", \"class ") + std::to_string(i) + "\"";
  const std::string line = output_line(
      R"("role": "label", "type": "string", "classes": [)" + classes + "]", SIDECALL_DTYPE_STRING);
  CHECK(line.rfind("y:\n      | 'class 0'\n      | 'class 1'\n", 0) == 0);
  CHECK(line.substr(line.size() - 20) == "\n      | 'class 299'");
  CHECK(union_of({"'" + std::string(60, 'a') + "'", "'" + std::string(60, 'b') + "'"}, 0) ==
        "\n| '" + std::string(60, 'a') + "'\n| '" + std::string(60, 'b') + "'");
}

TEST_CASE("a model's text cannot close the quotes or the comment around it") {
  CHECK(quoted("") == "''");
  CHECK(quoted("a'b\\c\"d`e") == R"('a\'b\\c"d`e')");
  CHECK(quoted("line\nand\r\ttab") == R"('line\nand\r\ttab')");
  CHECK(quoted(std::string("nul\0", 4)) == R"('nul\u0000')");
  CHECK(quoted("\x7f\xc2\x85") == R"('\u007f\u0085')");
  CHECK(quoted("\xe2\x80\xa8\xe2\x80\xa9") == R"('\u2028\u2029')");
  CHECK(quoted("\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xef\xbb\xbf") == R"('\u202e\u2066\u061c\ufeff')");
  CHECK(quoted("größe 🐧 日本 \xef\xb7\x90") == "'größe 🐧 日本 \xef\xb7\x90'");
  CHECK(comment_text("*/ evil /*\n@x") == "*\\/ evil /*\\n@x");
  CHECK(comment_text("**//") == "**\\//");
  CHECK(comment_text("\xe2\x80\xa8") == "\\u2028");
  const std::string text =
      declare(R"("type": "float32", "nullable": false)", SIDECALL_DTYPE_FLOAT32,
              R"("role": "prediction", "type": "float32")", SIDECALL_DTYPE_FLOAT32, 1,
              R"("name": "*/ m", "version": "*/\n1")");
  CHECK(contains(text, " * Model '*\\/ m', version *\\/\\n1, id 00.\n"));
}

TEST_CASE("a type name is made from any text") {
  CHECK(type_name_from("fraud") == "Fraud");
  CHECK(type_name_from("fraud model-v2") == "FraudModelV2");
  CHECK(type_name_from("XGBoost_model") == "XGBoostModel");
  CHECK(type_name_from("größe") == "Gre");
  CHECK(type_name_from("日本") == "Model");
  CHECK(type_name_from("") == "Model");
  CHECK(type_name_from("  ") == "Model");
  CHECK(type_name_from("2024 churn") == "Model2024Churn");
  CHECK(type_name_from("tensor") == "TensorModel");
  CHECK(type_name_from("record") == "RecordModel");
  CHECK(type_name_from("class") == "Class");
  for (const char* words : {"a b", "*/", "x\ny", "1", "__proto__", "\xff\xfe"})
    CHECK(checked_type_name(type_name_from(words)) == type_name_from(words));
}

TEST_CASE("a given type name must be an identifier that TypeScript does not reserve") {
  for (const char* name : {"Fraud", "fraud", "_F1", "$", "Promise"})
    CHECK(checked_type_name(name) == name);
  for (const char* name : {"", "1F", "a b", "a-b", "größe", "F\n", "F{", "class", "any",
                           "undefined", "Tensor", "Record", "Float16Data", "await"}) {
    INFO(name);
    CHECK(fake::status_of([&] { checked_type_name(name); }) == SIDECALL_INVALID_ARGUMENT);
  }
}
