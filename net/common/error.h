// The only exception type of net/.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace sidecall::net {

class Error : public std::exception {
 public:
  // `faults`: a JSON object with "num_faults" and the list "faults", as servers of sidecall send
  // them; "" if there are none.
  Error(int32_t status, std::string message, std::string faults = {})
      : status_(status), message_(std::move(message)), faults_(std::move(faults)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  int32_t status() const noexcept { return status_; }
  const std::string& faults() const noexcept { return faults_; }

 private:
  int32_t status_;
  std::string message_;
  std::string faults_;
};

}  // namespace sidecall::net
