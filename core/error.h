// The only exception type of core: a status, one line of text, and the faults that it reports.
// Thrown everywhere in core and turned into a sidecall_error at the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sidecall {

// What is wrong with one value. `name` is that of a feature, an input, a column of an output, or a
// step of the model.
struct Fault {
  int32_t status = SIDECALL_INTERNAL;
  int64_t row = -1;
  std::string name;
  std::string expected;
  std::string got;
  const char* what = "feature";  // the kind of thing that `name` names
};

class Error : public std::exception {
 public:
  Error(int32_t status, const std::string& message);

  // A fault with a message of its own, instead of "input 'x': expected float32, got string".
  Error(Fault fault, const std::string& message);

  // "input 'x': expected float32, got string (row 3)". `what` is the kind of thing: input, output,
  // feature, column, step.
  Error(const char* what, const Fault& fault);

  // All faults of one run; at least one. They are sorted by row, and within a row by feature, with
  // unknown names last. `total` also counts faults that were not kept. `name_rows`: the message
  // names the row of each fault.
  Error(std::vector<Fault> faults, size_t total, bool name_rows);

  // The same with a given message, for faults that another process reported.
  Error(int32_t status, const std::string& message, std::vector<Fault> faults, size_t total);

  const char* what() const noexcept override { return message_.c_str(); }
  int32_t status() const noexcept { return status_; }
  bool retryable() const noexcept;
  const std::vector<Fault>& faults() const noexcept { return faults_; }
  size_t num_faults() const noexcept { return num_faults_; }

 private:
  int32_t status_;
  std::string message_;
  std::vector<Fault> faults_;
  size_t num_faults_ = 0;
};

const char* status_name(int32_t status) noexcept;
// SIDECALL_OK if no failure has that name.
int32_t status_of_name(std::string_view name) noexcept;

// "feature 'age': expected float32, got string"
std::string describe(const char* what, const Fault& fault);

// Throws INVALID_ARGUMENT with the text unless the condition holds.
inline void require(bool condition, const char* message) {
  if (!condition) throw Error(SIDECALL_INVALID_ARGUMENT, message);
}

}  // namespace sidecall
