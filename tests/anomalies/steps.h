// What the scenarios consist of: calls of the C API, and what must come of them.
#pragma once

#include <sidecall/server.h>
#include <sidecall/sidecall.h>

#include <cstdint>
#include <memory>
#include <string>

#include "scenario.h"

namespace anomalies {

constexpr int64_t kTimeout = 1000000000;  // of a call

// Keeps the status and the message of the first step that fails.
class Steps {
 public:
  sidecall_error* error() { return &error_; }
  bool ok() const { return outcome_.status == SIDECALL_OK && !outcome_.is_wrong; }

  // Returns whether the call succeeded, so that the next step may follow.
  bool operator()(sidecall_status status) {
    if (status != SIDECALL_OK && ok()) {
      outcome_.status = status;
      outcome_.text = error_.message;
      if (error_.status != status) wrong("the error has another status than the call returned");
      if (is_crash(error_.message)) wrong(error_.message);
    }
    return status == SIDECALL_OK;
  }
  void expect(bool is_right, const char* what) {
    if (!is_right) wrong(what);
  }
  void wrong(const char* what) {
    outcome_.is_wrong = true;
    outcome_.text = what;
  }
  void fail(sidecall_status status, const std::string& text) {
    outcome_.status = status;
    outcome_.text = text;
  }
  Outcome outcome() const { return outcome_; }

 private:
  // Whether a child process ended by another signal than those that its parent sends.
  static bool is_crash(const std::string& message) {
    return message.find("killed by signal") != std::string::npos &&
           message.find("killed by signal 9)") == std::string::npos &&
           message.find("killed by signal 15)") == std::string::npos;
  }

  sidecall_error error_ = SIDECALL_ERROR_INIT;
  Outcome outcome_;
};

template <typename T>
using Handle = std::unique_ptr<T, void (*)(T*)>;
using Model = Handle<sidecall_model>;
using Call = Handle<sidecall_call>;
using Server = Handle<sidecall_server>;
using Text = Handle<sidecall_text>;

// Takes what an open function returned. The handle must be NULL after a failure.
template <typename T>
Handle<T> own(Steps& steps, sidecall_status status, T* made, void (*close)(T*)) {
  if (!steps(status) && made != nullptr) steps.wrong("a failed open returned a handle");
  return Handle<T>(made, close);
}

Model open_model(Steps& steps, const std::string& uri);
Call open_call(Steps& steps, const sidecall_model* model, int64_t rows);

// The model of penguins.onnx. Each of these makes a call and checks the answer.

// Sets the features of a penguin for which the model answers "Adelie".
bool set_penguin(Steps& steps, sidecall_call* call, const sidecall_model* model, int64_t row = 0);
void expect_adelie(Steps& steps, sidecall_call* call);
void run_record(Steps& steps, const sidecall_model* model);
// Runs one row and then several, so that the engine prepares for other shapes.
void run_growing(Steps& steps, const sidecall_model* model);
// Sets the features of all rows and reads a column of all rows, with one call each.
void run_table(Steps& steps, const sidecall_model* model);
void run_json(Steps& steps, const sidecall_model* model);
// Submits a run to a queue and waits for its completion as an event loop does.
void run_queued(Steps& steps, const sidecall_model* model);
// Runs with whole tensors: a string tensor, and an output whose shape is known only after the run.
void run_tensors(Steps& steps, const sidecall_model* strings, const sidecall_model* nonzero);

}  // namespace anomalies
