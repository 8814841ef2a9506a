// Runs every case of tests/vectors over the C ABI and over sidecall.hpp: in process, over shared
// memory, HTTP and gRPC.
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <memory>
#include <regex>
#include <string>
#include <utility>

#include "paths.h"
#include "support.h"
#include "vector_runner.h"

namespace {

void run_all(vectors::Backend& backend) {
  const vectors::Suite suite = vectors::read_suite(test_paths::vectors());
  size_t negative = 0;
  for (const vectors::Case& one : suite.cases) {
    INFO(one.name);
    CHECK(vectors::run_case(backend, suite, one) == "");
    negative += one.expect_status.empty() ? 0 : 1;
  }
  // A folder that is missing or has lost cases must not pass.
  CHECK(suite.cases.size() >= 400);
  CHECK(negative * 2 >= suite.cases.size());
}

// The Open Inference Protocol has neither these types nor names of dimensions, so that a client
// cannot check sizes that belong together.
void run_all_over_network(const std::string& scheme, std::unique_ptr<vectors::Backend> inner) {
  static const std::regex unsupported(
      "shapes/(unshaped|two_inputs_rows_differ|matmul_inner_differs).*"
      "|.*(bfloat16|float8|int4|rows_differ).*");
  const auto backend = vectors::over(scheme, std::move(inner));
  const vectors::Suite suite = vectors::read_suite(test_paths::vectors());
  size_t num_run = 0;
  for (const vectors::Case& one : suite.cases) {
    if (std::regex_match(one.name, unsupported)) continue;
    vectors::Case without_texts = one;  // they have the names of dimensions
    without_texts.expect_error = {};
    INFO(one.name);
    CHECK(vectors::run_case(*backend, suite, without_texts) == "");
    ++num_run;
  }
  CHECK(num_run >= 400);
}

// The native engine refuses some graphs, each with its reason; ONNX Runtime names other statuses
// for files that contradict themselves.
void run_all_natively(vectors::Backend& backend) {
  const support::Variable engine("SIDECALL_ENGINE", "native");
  const vectors::Suite suite = vectors::read_suite(test_paths::vectors());
  size_t refused = 0;
  for (const vectors::Case& one : suite.cases) {
    INFO(one.name);
    const std::string wrong = vectors::run_case(backend, suite, one);
    INFO(wrong);
    const auto has = [&](const char* text) { return wrong.find(text) != std::string::npos; };
    const bool is_wrong_answer = has("but it passed") || has("verification:");
    const bool is_refused = !is_wrong_answer && (wrong.rfind("open: UNSUPPORTED", 0) == 0 ||
                                                 has("got UNSUPPORTED") || has("got FILE_INVALID"));
    CHECK((wrong.empty() || is_refused));
    refused += is_refused ? 1 : 0;
  }
  CHECK(refused * 10 <= suite.cases.size());
}

}  // namespace

TEST_CASE("every vector passes over the C ABI", "[vectors]") { run_all(*vectors::c_backend()); }

TEST_CASE("every vector passes with rows that are set and read at once", "[vectors]") {
  run_all(*vectors::c_row_backend());
}

TEST_CASE("every vector passes over shm: with rows that are set and read at once",
          "[vectors][shm]") {
  run_all(*vectors::over("shm", vectors::c_row_backend()));
}

TEST_CASE("every vector passes over sidecall.hpp", "[vectors]") {
  run_all(*vectors::cpp_backend());
}

TEST_CASE("every vector passes over shm: with the C ABI", "[vectors][shm]") {
  run_all(*vectors::over("shm", vectors::c_backend()));
}

TEST_CASE("every vector passes over shm: with sidecall.hpp", "[vectors][shm]") {
  run_all(*vectors::over("shm", vectors::cpp_backend()));
}

TEST_CASE("every vector that the protocol can carry passes over HTTP and gRPC", "[network]") {
  for (const char* const scheme : {"http", "grpc"}) {
    INFO(scheme);
    run_all_over_network(scheme, vectors::c_backend());
    run_all_over_network(scheme, vectors::cpp_backend());
  }
}

TEST_CASE("every vector passes on the native engine, or is refused by it", "[vectors]") {
  run_all_natively(*vectors::c_backend());
}

TEST_CASE("every vector passes over shm: on the native engine, or is refused by it",
          "[vectors][shm]") {
  run_all_natively(*vectors::over("shm", vectors::c_backend()));
}

TEST_CASE("every vector that another vector names under 'after' must succeed", "[vectors]") {
  const vectors::Suite suite = vectors::read_suite(test_paths::vectors());
  for (const vectors::Case& one : suite.cases) {
    if (one.after.empty()) continue;
    INFO(one.name);
    CHECK(suite.at(one.after).expect_status.empty());
  }
}
