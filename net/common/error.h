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
  Error(int32_t status, std::string message) : status_(status), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  int32_t status() const noexcept { return status_; }

 private:
  int32_t status_;
  std::string message_;
};

}  // namespace sidecall::net
