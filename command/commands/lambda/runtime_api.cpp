// The requests of a runtime; see runtime_api.hpp.
#include "runtime_api.hpp"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <charconv>

#include "command.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

constexpr const char* kRoot = "/2018-06-01/runtime/";

std::string head_of(const char* method, const std::string& path) {
  return std::string(method) + " " + kRoot + path + " HTTP/1.1\r\nUser-Agent: sidecall/" +
         sidecall_version() + "\r\n";
}

// The form CATEGORY.REASON, for which Lambda's own logs and metrics look.
std::string error_type(const char* category, const char* status) {
  return std::string("Lambda-Runtime-Function-Error-Type: ") + category + "." + status + "\r\n";
}

[[noreturn]] void fail_expected(const std::string& expected, const std::string& got) {
  throw Failure(kEnvironment, "lambda: the Runtime API: expected " + expected + ", got " + got);
}

std::string status_text(const HttpReply& reply) { return "status " + std::to_string(reply.status); }

// The id becomes a part of a path. It is a UUID, but only its characters matter here.
bool is_id(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

}  // namespace

bool RuntimeApi::next(Invocation* invocation) {
  auto reply =
      connection_.exchange(head_of("GET", "invocation/next"), "", HttpConnection::Wait::kUnlimited);
  if (!reply) return false;
  if (reply->status != 200) fail_expected("status 200 with an invocation", status_text(*reply));
  invocation->id = reply->header("lambda-runtime-aws-request-id");
  if (!is_id(invocation->id))
    fail_expected("an id in the header Lambda-Runtime-Aws-Request-Id",
                  invocation->id.empty() ? "no header" : "another value");
  invocation->trace_id = reply->header("lambda-runtime-trace-id");
  invocation->deadline_ms = -1;
  const std::string& deadline = reply->header("lambda-runtime-deadline-ms");
  const char* const end = deadline.data() + deadline.size();
  const auto read = std::from_chars(deadline.data(), end, invocation->deadline_ms);
  if (!deadline.empty() &&
      (read.ec != std::errc() || read.ptr != end || invocation->deadline_ms < 0))
    fail_expected("milliseconds since 1970 in the header Lambda-Runtime-Deadline-Ms",
                  "another value");
  invocation->event = std::move(reply->body);
  return true;
}

void RuntimeApi::answer(const Invocation& invocation, std::string_view answer) {
  post("invocation/" + invocation.id + "/response", "", answer);
}

void RuntimeApi::fail(const Invocation& invocation, const char* status, std::string_view error) {
  post("invocation/" + invocation.id + "/error", error_type("Function", status), error);
}

void RuntimeApi::fail_init(const char* status, std::string_view error) {
  post("init/error", error_type("Runtime", status), error);
}

void RuntimeApi::post(const std::string& path, const std::string& headers, std::string_view body) {
  const auto reply =
      connection_.exchange(head_of("POST", path) + headers + "Content-Type: application/json\r\n",
                           body, HttpConnection::Wait::kLimited);
  if (reply->status == 202) return;
  // After 4xx the invocation is over, for example because its deadline has passed. After 5xx the
  // runtime must exit.
  if (reply->status / 100 != 4) fail_expected("status 202 after " + path, status_text(*reply));
  complain("sidecall: lambda: the Runtime API: expected status 202 after " + path + ", got " +
           status_text(*reply));
}

}  // namespace sidecall::cli
