// One request as a served function sees it: inputs to read, outputs to fill, and how to report a
// failure. Each context in function.cpp has one sidecall_request and uses it for all its runs. The
// C ABI forwards sidecall_request_* to it.
#pragma once

#include <sidecall/server.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "function.h"

struct sidecall_request {
  // Strings in the form of a sidecall_view.
  struct Text {
    std::string bytes;
    std::vector<int64_t> offsets{0};
  };
  struct Input {
    sidecall::Dims dims;
    const void* data = nullptr;
    sidecall::Buffer buffer;
    std::vector<std::string> strings;
    bool is_changed = true;  // `strings` has changed since `text` was built from it
    Text text;
  };
  struct Output {
    sidecall::Dims dims;
    sidecall::Buffer buffer;
    void* bound = nullptr;  // the caller's memory, or nullptr for the buffer
    bool is_known = false;  // the shape follows from the inputs
    bool is_given = false;
    Text text;
  };

  explicit sidecall_request(const sidecall::FunctionEngine& served)
      : engine(served), inputs(served.inputs().size()), outputs(served.outputs().size()) {}

  // These implement the functions of the same name in server.h. Those for tensors throw
  // UNKNOWN_NAME, SHAPE_MISMATCH, DTYPE_MISMATCH, INVALID_STRING.
  void view_input(int32_t input, sidecall_view* view);
  void view_output(int32_t output, const int64_t* dims, int32_t rank, sidecall_view* view);
  void set_strings(int32_t output, const int64_t* dims, int32_t rank, const char* data,
                   const int64_t* offsets);
  int64_t remaining_ns() const;
  void fail(sidecall_status status, int64_t row, const char* name, const char* expected,
            const char* got, const char* message);
  void log(int32_t level, const char* event, const char* facts) const;

  const sidecall::FunctionEngine& engine;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::optional<sidecall::Error> failure;
  std::atomic<bool> is_interrupted{false};

 private:
  const sidecall::TensorSpec& output_spec(int32_t output) const;
  Output& shape(int32_t output, const int64_t* dims, int32_t rank);
};
