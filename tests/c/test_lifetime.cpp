// Lifetimes: specs are valid until the model and its last call are closed. Also tests structs that
// were never initialised.
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "support.h"

TEST_CASE("specs live until the last call is closed") {
  sidecall_model* model = nullptr;
  sidecall_call* call = nullptr;
  REQUIRE(sidecall_model_open(test_paths::model("add.onnx").c_str(), nullptr, &model,
                              support::error()) == SIDECALL_OK);
  const sidecall_tensor_spec* spec = sidecall_model_input_spec(model, 0);
  REQUIRE(sidecall_call_open(model, 1, &call, support::error()) == SIDECALL_OK);
  sidecall_model_close(model);
  CHECK(spec->name == std::string("x"));
  CHECK(spec->dims[1] == 2);
  CHECK(spec->dim_names[1] == std::string());
  sidecall_call_close(call);
}

TEST_CASE("a struct_size that is not valid is refused") {
  sidecall_model* model = nullptr;
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.struct_size = 0xcccccccc;
  CHECK(sidecall_model_open(test_paths::model("add.onnx").c_str(), &options, &model,
                            support::error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(model == nullptr);
}
