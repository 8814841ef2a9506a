// What an open model reports: specs, names, contract, verification, records as JSON.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "support.h"
#include "vectors/vector_case.h"

using support::error;
using support::last;
using support::status;
using support::Variable;

namespace {

std::string open_status(const std::string& name, int32_t verify = SIDECALL_VERIFY_ERROR) {
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.verify = verify;
  sidecall_model* model = nullptr;
  const std::string out =
      status(sidecall_model_open(test_paths::model(name).c_str(), &options, &model, error()));
  sidecall_model_close(model);
  return out;
}

}  // namespace

TEST_CASE("the specs of tensors match the model") {
  const sidecall::Model model = support::open("free_dims.onnx");
  REQUIRE(model.num_inputs() == 1);
  REQUIRE(model.num_outputs() == 1);
  const sidecall_tensor_spec* x = model.input_spec(0);
  CHECK(x->name == std::string("x"));
  CHECK(x->dtype == SIDECALL_DTYPE_FLOAT32);
  REQUIRE(x->rank == 3);
  CHECK(x->dims[0] == -1);
  CHECK(x->dims[1] == -1);
  CHECK(x->dims[2] == 3);
  CHECK(x->dim_names[0] == std::string(support::has_dim_names() ? "N" : ""));
  CHECK(x->dim_names[1] == std::string(support::has_dim_names() ? "T" : ""));
  CHECK(x->dim_names[2] == std::string());
  CHECK(x->has_rows == 1);
  const sidecall::Model fixed = support::open("static.onnx");
  CHECK(fixed.input_spec(0)->has_rows == 0);
  const sidecall::Model scalar = support::open("scalar.onnx");
  CHECK(scalar.input_spec(0)->rank == 0);
  CHECK(scalar.input_spec(0)->has_rows == 0);
}

TEST_CASE("the specs of features and columns match the contract") {
  const sidecall::Model model = support::open("label_string.onnx");
  REQUIRE(model.num_features() == 3);
  for (int32_t i = 0; i < 3; ++i) {
    const sidecall_feature_spec* feature = model.feature_spec(i);
    CHECK(feature->name == "x" + std::to_string(i));
    CHECK(feature->dtype == SIDECALL_DTYPE_FLOAT32);
    CHECK(feature->nullable == 0);
    CHECK(feature->input == 0);
    CHECK(feature->column == i);
    CHECK(model.feature(feature->name) == i);
  }
  REQUIRE(model.num_columns() == 4);
  CHECK(model.column_spec(0)->name == std::string("label"));
  CHECK(model.column_spec(0)->dtype == SIDECALL_DTYPE_STRING);
  CHECK(model.column_spec(0)->form == SIDECALL_FORM_SCALAR);
  CHECK(model.column_spec(0)->key == std::string());
  const char* classes[] = {"no", "yes", "don't \"know\""};
  for (int32_t i = 0; i < 3; ++i) {
    const sidecall_column_spec* column = model.column_spec(i + 1);
    CHECK(column->name == std::string("probabilities.") + classes[i]);
    CHECK(column->key == std::string(classes[i]));
    CHECK(column->form == SIDECALL_FORM_MEMBER);
    CHECK(column->output == model.output("probabilities"));
    CHECK(column->column == i);
    CHECK(column->dtype == SIDECALL_DTYPE_FLOAT32);
  }
  const sidecall::Model wide = support::open("prediction_wide.onnx");
  REQUIRE(wide.num_columns() == 2);
  CHECK(wide.column_spec(1)->name == std::string("prediction.1"));
  CHECK(wide.column_spec(1)->key == std::string("1"));
  CHECK(wide.column_spec(1)->form == SIDECALL_FORM_ELEMENT);
}

TEST_CASE("a file without a contract has columns for its outputs and no features") {
  const sidecall::Model model = support::open("add.onnx");
  CHECK(model.contract().empty());
  CHECK(model.contract().data() == nullptr);
  CHECK(model.name().empty());
  CHECK(model.version().empty());
  CHECK(model.num_features() == 0);
  CHECK(model.num_columns() == 2);
  CHECK(model.id().size() == 64);
  CHECK(model.warning().empty());
  sidecall_text* text = nullptr;
  CHECK(status(sidecall_model_verify(model.get(), &text, error())) == "NO_CONTRACT");
  CHECK(text == nullptr);
  sidecall::Call call(model);
  CHECK(status(sidecall_call_set_f64(call.get(), 0, 0, 1, error())) == "NO_CONTRACT");
  CHECK(status(sidecall_call_clear(call.get(), error())) == "NO_CONTRACT");
  support::give_x(call, {1, 2});
  call.run();
  CHECK(call.get_f64(0, 0) == 11);
  CHECK(call.get_f64(0, 1) == 22);
}

TEST_CASE("a model has the name, version, contract and id of its file") {
  const sidecall::Model model = support::open("matrix.onnx");
  CHECK(model.name() == "matrix");
  CHECK(model.version() == "7");
  CHECK(model.contract().substr(0, 13) == R"({"format": 5,)");
  CHECK(model.contract().data()[model.contract().size()] == '\0');
  CHECK(model.id().size() == 64);
  CHECK(model.id().find_first_not_of("0123456789abcdef") == std::string_view::npos);
  const std::string bytes = vectors::read_file(test_paths::model("matrix.onnx"));
  CHECK(bytes.find("sidecall.id\x12\x40" + std::string(model.id())) != std::string::npos);
  CHECK(sidecall::Model::from_bytes(bytes.data(), bytes.size()).id() == model.id());
  // Without a contract the id is computed from the file: the same file has the same id.
  CHECK(support::open("add.onnx").id() != support::open("static.onnx").id());
  CHECK(support::open("add.onnx").id() == support::open("add.onnx").id());
}

TEST_CASE("names are looked up by bytes and length") {
  const sidecall::Model model = support::open("names.onnx");
  CHECK(model.feature("Größe (cm)") == 0);
  CHECK(model.column("probabilities.dotted.class") == 2);
  CHECK(model.column("probabilities.") == 1);
  CHECK(model.input(std::string_view("Xyz", 1)) == 0);
  int32_t index = 5;
  CHECK(status(sidecall_model_find(model.get(), SIDECALL_KIND_OUTPUT, "scores", 6, &index,
                                   error())) == "UNKNOWN_NAME");
  CHECK(index == -1);
  CHECK(last().name == std::string("scores"));
  CHECK(std::string(last().message).find("'scores'") != std::string::npos);
  CHECK(std::string(last().message).find("probabilities") != std::string::npos);
  CHECK_THROWS_AS(model.feature("x0"), sidecall::Error);
  CHECK_THROWS_AS(model.feature(std::string_view("Größe (cm)\0", 13)), sidecall::Error);
}

TEST_CASE("a model can be verified on demand") {
  const sidecall::Model good = support::open("matrix.onnx");
  const std::string report = good.verify();
  CHECK(report.find("\"rows\"") != std::string::npos);
  CHECK(report.find(std::string(good.id())) != std::string::npos);
  const std::string where =
      support::route().empty() ? "onnxruntime" : "server '" + support::route();
  CHECK(report.find(where) != std::string::npos);
  sidecall::Options off;
  off.verify = SIDECALL_VERIFY_OFF;
  const sidecall::Model bad(test_paths::model("verification/first_row.onnx"), off);
  CHECK(bad.warning().empty());
  sidecall_text* text = nullptr;
  CHECK(status(sidecall_model_verify(bad.get(), &text, error())) == "VERIFICATION_FAILED");
  REQUIRE(text != nullptr);
  CHECK(std::string(text->data, text->length).find("\"failure\"") != std::string::npos);
  CHECK(text->data[text->length] == '\0');
  sidecall_text_close(text);
  // The member `id` of the contract of a file has no meaning.
  const sidecall::Model other(test_paths::model("contracts/other_id.onnx"), off);
  CHECK(other.id() != std::string(64, 'f'));
  CHECK(other.verify().find(std::string(other.id())) != std::string::npos);
  const sidecall::Model none(test_paths::model("contracts/no_verification.onnx"), off);
  CHECK(none.verify().find("\"rows\":0") != std::string::npos);
}

TEST_CASE(
    "verification can warn instead of failing, and the environment variable overrides the option") {
  const std::string bad = "verification/first_row.onnx";
  sidecall::Options warn;
  warn.verify = SIDECALL_VERIFY_WARN;
  const sidecall::Model model(test_paths::model(bad), warn);
  CHECK_FALSE(model.warning().empty());
  CHECK(sidecall::Model(test_paths::model("matrix.onnx"), warn).warning().empty());
  CHECK(open_status(bad) == "VERIFICATION_FAILED");
  CHECK(open_status(bad, SIDECALL_VERIFY_WARN) == "OK");
  CHECK(open_status(bad, SIDECALL_VERIFY_OFF) == "OK");
  {
    const Variable set("SIDECALL_VERIFY", "error");
    CHECK(open_status(bad, SIDECALL_VERIFY_OFF) == "VERIFICATION_FAILED");
  }
  {
    const Variable set("SIDECALL_VERIFY", "off");
    CHECK(open_status(bad) == "OK");
  }
  {
    const Variable set("SIDECALL_VERIFY", "warn");
    CHECK(open_status(bad) == "OK");
  }
  for (const char* wrong : {"yes", "OFF", "0", " off"}) {
    const Variable set("SIDECALL_VERIFY", wrong);
    CHECK(open_status("matrix.onnx") == "INVALID_ARGUMENT");
    CHECK(std::string(last().message).find("SIDECALL_VERIFY") != std::string::npos);
  }
  {
    const Variable set("SIDECALL_VERIFY", "");
    CHECK(open_status("matrix.onnx") == "OK");
  }
  // Each open verifies again; a failure is not remembered for the process.
  CHECK(open_status(bad) == "VERIFICATION_FAILED");
}

TEST_CASE("devices, FIFOs, overlong names and empty bytes are refused") {
  sidecall_model* model = nullptr;
  CHECK(status(sidecall_model_open("/dev/zero", nullptr, &model, error())) == "FILE_UNREADABLE");
  const std::string fifo =
      std::filesystem::temp_directory_path() / ("sidecall-test-" + std::to_string(getpid()));
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  // The open does not wait for a writer of the FIFO.
  CHECK(status(sidecall_model_open(fifo.c_str(), nullptr, &model, error())) == "FILE_UNREADABLE");
  std::filesystem::remove(fifo);
  CHECK(status(sidecall_model_open(std::string(5000, 'x').c_str(), nullptr, &model, error()))
            .substr(0, 5) == "FILE_");
  CHECK(status(sidecall_model_open_bytes("", 0, nullptr, &model, error())) == "FILE_INVALID");
}

TEST_CASE("a model file is not read again after it is opened") {
  const std::string copy = std::filesystem::temp_directory_path() /
                           ("sidecall-test-" + std::to_string(getpid()) + ".onnx");
  std::filesystem::copy_file(test_paths::model("add.onnx"), copy);
  const sidecall::Model model(copy);
  std::ofstream(copy, std::ios::trunc) << "something else";
  sidecall::Call call(model);
  support::give_x(call, {1, 2});
  call.run();
  CHECK(call.get_f64(0, 0) == 11);
  std::filesystem::remove(copy);
}

TEST_CASE("a new file with the same name is opened as another model") {
  const std::string copy = std::filesystem::temp_directory_path() /
                           ("sidecall-test-" + std::to_string(getpid()) + "b.onnx");
  std::filesystem::copy_file(test_paths::model("matrix.onnx"), copy);
  const sidecall::Model first(copy);
  std::filesystem::copy_file(test_paths::model("verification/first_row.onnx"), copy,
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_THROWS_AS(sidecall::Model(copy), sidecall::Error);
  std::filesystem::remove(copy);
}

TEST_CASE("long, deeply nested and many records are handled") {
  const sidecall::Model model = support::open("matrix.onnx");
  sidecall_text* text = nullptr;
  for (const char* unit : {"[", "{\"a\":", "[{\"a\":["}) {
    std::string deep;
    while (deep.size() < 1000000) deep += unit;
    CHECK(status(sidecall_predict_json(model.get(), deep.data(), deep.size(), &text, error())) !=
          "OK");
    CHECK(text == nullptr);
  }
  std::string list = "[";
  for (int i = 0; i < 5000; ++i)
    list += std::string(i == 0 ? "" : ",") + R"({"a":1,"c":true,"d":)" + std::to_string(i) + "}";
  const std::string answer = model.predict_json(list + "]");
  size_t found = 0;
  for (size_t at = 0; (at = answer.find("\"prediction\"", at)) != std::string::npos; ++at) ++found;
  CHECK(found == 5000);
  CHECK(answer.find(std::to_string(1 - 10 + 100 + 4999000)) != std::string::npos);
  // The length counts, not a terminating NUL: the text ends where the caller says.
  const std::string more = R"({"a":1,"c":true,"d":1})" + std::string(10, 'x');
  CHECK(model.predict_json(std::string_view(more).substr(0, 22)) == R"({"prediction":1091})");
}

TEST_CASE("a byte below 0x20 is refused at every position in a string") {
  const sidecall::Model model = support::open("kinds.onnx");
  const std::string good =
      R"("f32_must": 2, "f64_must": 3, "i64_must": 4, "flag_must": false, "word_must": "b")";
  CHECK(model.predict_json("{" + good + "}").find("transformed") != std::string::npos);
  size_t num_wrong = 0;
  // A parser may look at 16 bytes at a time, and 48 bytes are more than two such blocks.
  for (char byte = 0; byte < 0x20; ++byte) {
    for (size_t offset = 0; offset < 48; ++offset) {
      const std::string text = std::string(offset, 'a') + byte + std::string(47 - offset, 'b');
      for (const std::string& json :
           {"{" + good + ", \"word\": \"" + text + "\"}", "{" + good + ", \"" + text + "\": 1}"}) {
        sidecall_text* answer = nullptr;
        const bool is_refused = status(sidecall_predict_json(model.get(), json.data(), json.size(),
                                                             &answer, error())) == "INVALID_JSON";
        const std::string place = "(byte " + std::to_string(json.find(byte)) + ")";
        if (!is_refused || std::string(last().message).find(place) == std::string::npos)
          ++num_wrong;
        sidecall_text_close(answer);
      }
    }
  }
  CHECK(num_wrong == 0);
  // Three of these bytes (tab, CR and LF) are allowed as white space between values.
  CHECK(model.predict_json("\t{\r\n" + good + "\n}").find("transformed") != std::string::npos);
}

TEST_CASE("C++ models can be moved") {
  sidecall::Model first = support::open("add.onnx");
  sidecall::Model second = std::move(first);
  CHECK(first.get() == nullptr);  // NOLINT: a moved-from model holds nothing
  CHECK(second.num_inputs() == 1);
  first = support::open("static.onnx");
  second = std::move(first);
  CHECK(second.input_spec(0)->dims[0] == 2);
  sidecall::Call call(second), other(second);
  sidecall::Call moved = std::move(call);
  CHECK(call.get() == nullptr);  // NOLINT
  moved = std::move(other);
  CHECK(moved.rows() == 1);
}
