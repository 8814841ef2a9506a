// The Python types of models with names, classes and lists that no file of tests/vectors has.
// tests/cli executes what is written.
#include <sidecall/sidecall.h>

#include <catch2/catch_test_macros.hpp>

#include "command/types/python.h"
#include "command/types/python_text.h"
#include "tests/core/records_model.h"

using sidecall::checked_python_name;
using sidecall::pydantic_models;
using sidecall::RecordTypes;
using sidecall::Signature;
using sidecall::typed_dicts;
using sidecall::Value;
using sidecall::python::docstring_text;
using sidecall::python::quoted;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

RecordTypes all_types() {
  static const fake::RecordsModel model;
  sidecall::Contract contract;
  contract.text = fake::kRecordsContract;
  contract.name = "all types";
  contract.version = "1";
  return sidecall::record_types(model.signature, &contract, "00");
}

// The types of a model with one output, and one feature whose JSON members are `feature`.
RecordTypes types_of(const std::string& feature, int32_t input_dtype,
                     const std::string& output = R"("role": "prediction", "type": "float32")",
                     int32_t output_dtype = SIDECALL_DTYPE_FLOAT32, int64_t width = 1) {
  fake::Engine engine;
  engine.inputs = {fake::tensor("X", input_dtype, {-1, 1})};
  engine.outputs = {fake::tensor("y", output_dtype, {-1, width})};
  Signature signature;
  engine.sign(&signature);
  const std::string json =
      R"({"format": 5, "model": {"id": "00"}, "features": [{"name": "x", "input": "X", "column": 0, )" +
      feature + R"(}], "outputs": [{"name": "y", )" + output + "}]}";
  const sidecall::Contract contract = fake::parse_contract(json, "test", true, &signature);
  signature.index_records();
  return sidecall::record_types(signature, &contract, "00");
}

std::string line_of(const std::string& source, const std::string& start) {
  const size_t at = source.find("    " + start + ":");
  if (at == std::string::npos) return "";
  return source.substr(at + 4, source.find('\n', at) - at - 4);
}

std::string dict_line(const std::string& feature, int32_t dtype) {
  return line_of(typed_dicts(types_of(feature, dtype), "M"), "x");
}
std::string model_line(const std::string& feature, int32_t dtype) {
  return line_of(pydantic_models(types_of(feature, dtype), "M"), "x");
}

std::string numbered_classes(int count) {
  std::string classes;
  for (int i = 0; i < count; ++i)
    classes += (i == 0 ? "\"class " : ", \"class ") + std::to_string(i) + "\"";
  return R"("role": "label", "type": "string", "classes": [)" + classes + "]";
}

constexpr const char* kFloat = R"("type": "float32", "nullable": false)";

}  // namespace

TEST_CASE("a datetime is a datetime of Python with or without a zone, or text") {
  const std::string naive = R"("type": "datetime", "nullable": false, "unit": "s")";
  const std::string zoned =
      R"("type": "datetime", "nullable": true, "missing": {"value": -9223372036854775808}, "unit": "ns", "zone": "UTC", "epoch": "s")";
  CHECK(dict_line(naive, SIDECALL_DTYPE_INT64) == "x: datetime | str");
  CHECK(dict_line(zoned, SIDECALL_DTYPE_INT64) == "x: NotRequired[datetime | str | float | None]");
  CHECK(model_line(naive, SIDECALL_DTYPE_INT64) == "x: NaiveDatetime");
  CHECK(model_line(zoned, SIDECALL_DTYPE_INT64) == "x: AwareDatetime | int | float | None = None");
  const std::string dicts = typed_dicts(types_of(naive, SIDECALL_DTYPE_INT64), "M");
  CHECK(contains(dicts, "\nfrom datetime import datetime\nfrom typing import TypedDict\n"));
  CHECK(contains(dicts, "    # Without a time zone.\n"));
  const std::string models = pydantic_models(types_of(zoned, SIDECALL_DTYPE_INT64), "M");
  CHECK(contains(models, "from pydantic import AwareDatetime, BaseModel, ConfigDict\n"));
  const std::string limited = naive + R"(, "domain": [[0, 1]])";
  const std::string about =
      "    # Takes a datetime from '1970-01-01T00:00:00' to '1970-01-01T00:00:01'.\n";
  CHECK(contains(typed_dicts(types_of(limited, SIDECALL_DTYPE_INT64), "M"), about));
  CHECK(contains(pydantic_models(types_of(limited, SIDECALL_DTYPE_INT64), "M"), about));
}

TEST_CASE("typed dicts have the types of the features and of the answer of a model") {
  CHECK(typed_dicts(all_types(), "All") == R"("""Model 'all types', version 1.

Id: 00
Written by `sidecall types --lang python`.
Generate this file again when the model changes.
"""

from typing import Literal, NotRequired, TypedDict


class AllFeatures(TypedDict):
    """A record that `predict` takes."""

    amount: float
    count: NotRequired[int | None]
    flag: bool
    # Takes 1 or 2.5.
    grade: NotRequired[float | None]
    # Does not take -1, which stands for a missing value.
    id: NotRequired[int | None]
    time: NotRequired[float | None]
    on: bool
    job: NotRequired[str | None]
    sex: Literal["female", "male"]


class AllProbabilities(TypedDict):
    """One value for each class."""

    no: float
    yes: float


class AllAnswer(TypedDict):
    """The record that `predict` returns."""

    label: Literal["no", "yes"]
    probabilities: AllProbabilities
    prediction: float
    scores: list[int]
)");
}

TEST_CASE("models of pydantic have the types of the features and of the answer of a model") {
  const std::string text = pydantic_models(all_types(), "All");
  CHECK(text.substr(text.find("\nfrom typing")) == R"(
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class AllFeatures(BaseModel):
    """A record that `predict` takes. A missing value is None."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # Does not take NaN.
    amount: float
    count: Int64 | None = None
    flag: bool
    # Takes 1 or 2.5.
    grade: float | None = None
    # Does not take -1, which stands for a missing value.
    id: Int64 | None = None
    time: float | None = None
    on: bool
    job: str | None = None
    sex: Literal["female", "male"]


class AllProbabilities(BaseModel):
    """One value for each class."""

    model_config = ConfigDict(extra="forbid", strict=True)

    no: float
    yes: float


class AllAnswer(BaseModel):
    """The record that `predict` returns."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: Literal["no", "yes"]
    probabilities: AllProbabilities
    prediction: float
    scores: Annotated[list[int], Field(min_length=3, max_length=3)]
)");
}

TEST_CASE("only lists of strings, integers and booleans become literals") {
  const std::string must = R"("nullable": false, "allowed": )";
  const std::string may = R"("nullable": true, "missing": "nan", "allowed": )";
  CHECK(dict_line(R"("type": "string", )" + must + R"(["a", "it's", "a\"b", "a"])",
                  SIDECALL_DTYPE_STRING) == R"(x: Literal["a", "it's", "a\"b"])");
  CHECK(dict_line(R"("type": "int64", )" + may + "[3, -4.0]", SIDECALL_DTYPE_FLOAT32) ==
        "x: NotRequired[Literal[3, -4] | None]");
  CHECK(dict_line(R"("type": "bool", )" + must + "[0]", SIDECALL_DTYPE_FLOAT32) ==
        "x: Literal[False]");
  CHECK(dict_line(R"("type": "bool", )" + must + "[false, true]", SIDECALL_DTYPE_BOOL) ==
        "x: bool");
  CHECK(dict_line(R"("type": "float64", )" + must + "[1]", SIDECALL_DTYPE_FLOAT64) == "x: float");
  CHECK(dict_line(R"("type": "int64", )" + must + "[1.5]", SIDECALL_DTYPE_INT64) == "x: int");
  CHECK(dict_line(R"("type": "int64", )" + must + "[9007199254740993]", SIDECALL_DTYPE_INT64) ==
        "x: int");
  CHECK(dict_line(R"("type": "string", )" + must + "[]", SIDECALL_DTYPE_STRING) == "x: Never");
  CHECK(dict_line(R"("type": "float32", )" + may + "[]", SIDECALL_DTYPE_FLOAT32) ==
        "x: NotRequired[None]");
  CHECK(model_line(R"("type": "float32", )" + may + "[]", SIDECALL_DTYPE_FLOAT32) ==
        "x: None = None");
  CHECK(model_line(R"("type": "int64", )" + may + "[3]", SIDECALL_DTYPE_FLOAT64) ==
        "x: Annotated[Literal[3], _strictly(int)] | None = None");
  CHECK(model_line(R"("type": "bool", )" + must + "[true]", SIDECALL_DTYPE_BOOL) ==
        "x: Annotated[Literal[True], _strictly(bool)]");
}

TEST_CASE("the ends of a domain become constraints of pydantic") {
  const std::string real = R"("type": "float64", "nullable": false, "domain": )";
  CHECK(model_line(real + "[[0, 1]]", SIDECALL_DTYPE_FLOAT64) ==
        "x: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]");
  CHECK(model_line(real + R"([["-inf", "inf"]])", SIDECALL_DTYPE_FLOAT64) == "x: float");
  CHECK(model_line(real + R"([[-1.7976931348623157e308, "inf"]])", SIDECALL_DTYPE_FLOAT64) ==
        "x: Annotated[float, Field(ge=-1.7976931348623157e308)]");
  CHECK(model_line(real + "[[-1.7976931348623157e308, 1.7976931348623157e308]]",
                   SIDECALL_DTYPE_FLOAT64) == "x: Annotated[float, Field(allow_inf_nan=False)]");
  // 0.1 and 0.3 as float32 numbers are above these decimals.
  CHECK(model_line(real + "[[0.1, 0.3]]", SIDECALL_DTYPE_FLOAT32) ==
        "x: Annotated[float, Field(ge=0.1, le=0.30000001192092896, allow_inf_nan=False)]");
  const std::string whole = R"("type": "int64", "nullable": false, "domain": )";
  CHECK(model_line(whole + "[[1, 2], [4, 8]]", SIDECALL_DTYPE_INT64) ==
        "x: Annotated[int, Field(ge=1, le=8)]");
  CHECK(model_line(whole + "[[0.5, 1e300]]", SIDECALL_DTYPE_FLOAT64) ==
        "x: Annotated[int, Field(ge=1, le=9223372036854775807)]");
  CHECK(model_line(whole + R"([["-inf", -0.5]])", SIDECALL_DTYPE_FLOAT64) ==
        "x: Annotated[int, Field(ge=-9223372036854775808, le=-1)]");
  CHECK(model_line(whole + R"([["-inf", "inf"]])", SIDECALL_DTYPE_FLOAT32) == "x: Int64");
  CHECK(model_line(R"("type": "string", "nullable": false, "empty": false)",
                   SIDECALL_DTYPE_STRING) == "x: Annotated[str, Field(min_length=1)]");
}

TEST_CASE("the Python type of an answer depends on its role and classes") {
  const auto dict = [](const std::string& output, int32_t dtype, int64_t width = 1) {
    return line_of(typed_dicts(types_of(kFloat, SIDECALL_DTYPE_FLOAT32, output, dtype, width), "M"),
                   "y");
  };
  const auto model = [](const std::string& output, int32_t dtype, int64_t width = 1) {
    return line_of(
        pydantic_models(types_of(kFloat, SIDECALL_DTYPE_FLOAT32, output, dtype, width), "M"), "y");
  };
  const std::string ints = R"("role": "label", "type": "int64", "classes": [2, 0])";
  CHECK(dict(ints, SIDECALL_DTYPE_INT64) == "y: Literal[2, 0]");
  CHECK(model(ints, SIDECALL_DTYPE_INT64) == "y: Annotated[Literal[2, 0], _strictly(int)]");
  const std::string bools = R"("role": "label", "type": "bool", "classes": [false, true])";
  CHECK(dict(bools, SIDECALL_DTYPE_INT64) == "y: bool");
  CHECK(model(bools, SIDECALL_DTYPE_INT64) == "y: bool");
  const std::string wide = R"("role": "label", "type": "string", "classes": ["a"], "width": 2)";
  CHECK(dict(wide, SIDECALL_DTYPE_STRING, 2) == R"(y: list[Literal["a"]])");
  CHECK(model(wide, SIDECALL_DTYPE_STRING, 2) ==
        R"(y: Annotated[list[Literal["a"]], Field(min_length=2, max_length=2)])");
  const std::string byte = R"("role": "prediction", "type": "uint8")";
  CHECK(dict(byte, SIDECALL_DTYPE_UINT8) == "y: int");
  CHECK(dict(R"("role": "prediction", "type": "float16")", SIDECALL_DTYPE_FLOAT16) == "y: float");
  // Classes of another type than the label give no literal types.
  CHECK(dict(R"("role": "label", "type": "string", "classes": [0, 1])", SIDECALL_DTYPE_STRING) ==
        "y: str");
}

TEST_CASE("a long list of values becomes an alias with one value per line") {
  const RecordTypes types =
      types_of(kFloat, SIDECALL_DTYPE_FLOAT32, numbered_classes(300), SIDECALL_DTYPE_STRING);
  for (const std::string& text : {typed_dicts(types, "M"), pydantic_models(types, "M")}) {
    CHECK(contains(text, "\nMY = Literal[\n    \"class 0\",\n    \"class 1\",\n"));
    CHECK(contains(text, "    \"class 299\",\n]\n\n\nclass MFeatures("));
    CHECK(line_of(text, "y") == "y: MY");
  }
}

TEST_CASE("names of classes are unique, and differ from the names that the file imports") {
  RecordTypes types;
  types.has_contract = true;
  for (const char* name : {"features", "Dict", "\xe6\x97\xa5", "dict"}) {
    sidecall::OutputType output;
    output.name = name;
    output.dtype = SIDECALL_DTYPE_FLOAT32;
    output.form = SIDECALL_FORM_MEMBER;
    output.keys = {"a"};
    types.outputs.push_back(output);
  }
  const std::string text = typed_dicts(types, "Typed");
  CHECK(contains(text, "class TypedFeatures(TypedDict):"));
  CHECK(contains(text, "\"features\": TypedFeatures_2,\n"));
  CHECK(contains(text, "class TypedDict_2(TypedDict):"));
  CHECK(contains(text, "class TypedDict_3(TypedDict):"));
  CHECK(contains(text, "class TypedValue(TypedDict):"));
}

TEST_CASE("a model's text cannot close the quotes of Python around it") {
  CHECK(quoted("") == R"("")");
  CHECK(quoted(R"(a'b\c"d)") == R"("a'b\\c\"d")");
  CHECK(quoted(R"(""")") == R"("\"\"\"")");
  CHECK(quoted("line\nand\r\ttab") == R"("line\nand\r\ttab")");
  CHECK(quoted(std::string("nul\0", 4)) == R"("nul\u0000")");
  CHECK(quoted("\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf") == R"("\u202e\u2028\ufeff")");
  CHECK(quoted("größe 🐧") == R"("größe 🐧")");
  CHECK(docstring_text("\"\"\"\n\\") == R"(\"\"\"\\n\\)");
  CHECK(docstring_text("\xe2\x80\xae") == R"(\\u202e)");
  CHECK(docstring_text("\xff") == "?");
}

TEST_CASE("a given name must be able to begin the names of Python classes") {
  for (const char* name : {"Fraud", "fraud", "_F1", "class", "Tensor"})
    CHECK(checked_python_name(name) == name);
  for (const char* name : {"", "1F", "a b", "F$", "größe", "F\n", "F:", "__F"}) {
    INFO(name);
    CHECK(fake::status_of([&] { checked_python_name(name); }) == SIDECALL_INVALID_ARGUMENT);
  }
}

TEST_CASE("a file without a contract has no Python types") {
  Signature signature;
  signature.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {1})};
  const RecordTypes types = sidecall::record_types(signature, nullptr, "00");
  CHECK(fake::status_of([&] { typed_dicts(types, "M"); }) == SIDECALL_NO_CONTRACT);
  CHECK(fake::status_of([&] { pydantic_models(types, "M"); }) == SIDECALL_NO_CONTRACT);
}
