// The cases of tests/vectors as C++ values. vector_case.cpp reads them, and vector_runner.cpp runs
// them over a backend.
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vectors {

// The memory that a sidecall_view points to.
struct Tensor {
  int32_t dtype = 0;
  std::vector<int64_t> dims;
  std::vector<unsigned char> bytes;
  std::vector<int64_t> offsets;  // strings only
};

using Named = std::vector<std::pair<std::string, Tensor>>;

struct Expected {
  std::optional<std::string> name, expected, got, message;
  std::optional<int64_t> row, num_faults;
};

struct Case {
  std::string name;
  std::string uri;  // can be passed to open as it is
  bool as_bytes = false;
  int32_t verify = 0;
  int32_t extra = 0;
  std::optional<Named> inputs, outputs;
  const rapidjson::Value* record = nullptr;  // valid as long as the Suite
  std::optional<std::string> json;           // the member `json` verbatim, or `record` as text
  const rapidjson::Value* result = nullptr;
  double tolerance = 0;
  std::string expect_status;  // "" if the case must pass
  Expected expect_error;
  std::string after;
};

struct Suite {
  std::vector<std::unique_ptr<rapidjson::Document>> documents;
  std::vector<Case> cases;

  const Case& at(const std::string& name) const;  // throws if there is no such case
};

// Reads every file of `folder`/cases. Throws std::runtime_error on an unknown key, so that a case
// with a misspelt key does not pass.
Suite read_suite(const std::string& folder);

std::string read_file(const std::string& path);

}  // namespace vectors
