// The Runtime API of AWS Lambda, through which a runtime takes invocations and gives answers; used
// by lambda.cpp. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http_connection.hpp"

namespace sidecall::cli {

struct Invocation {
  std::string id;
  std::string trace_id;      // for X-Ray; "" if there is none
  int64_t deadline_ms = -1;  // since 1970; -1 if there is none
  std::string event;
};

// The largest answer that Lambda takes: 6 MiB, and 100 bytes more.
constexpr size_t kMaxAnswerBytes = (size_t{6} << 20) + 100;

// Every function throws a Failure with kEnvironment if the Runtime API cannot be reached, breaks
// the protocol, or says that the runtime must exit.
class RuntimeApi {
 public:
  explicit RuntimeApi(const std::string& address) : connection_(address) {}

  // Waits for the next invocation. Returns false if a signal came instead.
  bool next(Invocation* invocation);

  void answer(const Invocation& invocation, std::string_view answer);

  // Ends an invocation with an error. `status` is the name of its status, `error` a JSON document.
  void fail(const Invocation& invocation, const char* status, std::string_view error);

  // Says that this runtime cannot answer invocations. The process exits afterwards.
  void fail_init(const char* status, std::string_view error);

 private:
  void post(const std::string& path, const std::string& headers, std::string_view body);

  HttpConnection connection_;
};

}  // namespace sidecall::cli
