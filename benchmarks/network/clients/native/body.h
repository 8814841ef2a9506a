// Converts a caller's rows to bytes, and bytes to a caller's answer. Used by transport.cpp.
#pragma once

#include <memory>
#include <string>

#include "workload.h"

namespace bench {

class Body {
 public:
  virtual ~Body() = default;
  // Appends the request for `rows` rows, starting at `first_row`.
  virtual void encode(int64_t first_row, std::string& request) = 0;
  // Fills an empty answer; may change `response`. Throws std::runtime_error if it is not an answer.
  virtual void decode(std::string& response, Answer& answer) = 0;
};

// Throws if no body of that name was built.
std::unique_ptr<Body> make_body(const std::string& name, const Workload& workload, int64_t rows);

std::unique_ptr<Body> make_json_body(const Workload& workload, int64_t rows);
std::unique_ptr<Body> make_protobuf_body(const Workload& workload, int64_t rows);

}  // namespace bench
