// Runs one case of tests/vectors over a backend: the C ABI itself or sidecall.hpp. Used by
// test_vectors.cpp.
#pragma once

#include <rapidjson/document.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "vector_case.h"

namespace vectors {

// The exception of a backend: the error as the library filled it.
struct Failure {
  sidecall_error error;
};

// An open model.
class Model {
 public:
  virtual ~Model() = default;
  virtual Named run(const Named& inputs) = 0;
  virtual std::string predict_json(const std::string& json) = 0;
  // Runs a record, or a list of records, through the typed setters and getters. Unlike in JSON, NaN
  // stays NaN.
  virtual rapidjson::Document predict(const rapidjson::Value& record) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<Model> open(const Case& one) = 0;
};

std::unique_ptr<Backend> c_backend();
std::unique_ptr<Backend> c_row_backend();  // sets and reads many values with one call
std::unique_ptr<Backend> cpp_backend();
// Serves each model over "shm", "http" or "grpc".
std::unique_ptr<Backend> over(const std::string& scheme, std::unique_ptr<Backend> inner);

// Returns "" if the case passes, otherwise what is wrong.
std::string run_case(Backend& backend, const Suite& suite, const Case& one);

// Whether the typed setters can express `record`, which may also be a list of records. An empty
// list can be passed only as JSON, because a call has at least one row.
bool has_native_form(const rapidjson::Value& record);

}  // namespace vectors
