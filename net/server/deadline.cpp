// Reads the deadlines of requests; see deadline.h.
#include "deadline.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "net/common/error.h"
#include "net/common/keys.h"

namespace sidecall::net {
namespace {

constexpr std::chrono::nanoseconds kLongestRun = std::chrono::hours(24);

[[noreturn]] void refuse(const char* header, const char* expected, const char* got) {
  throw Error(SIDECALL_INVALID_ARGUMENT,
              std::string("header ") + header + ": expected " + expected + ", got " + got);
}

// Says what is wrong with a text that should consist of digits.
const char* fault_of(std::string_view digits) {
  if (digits.empty()) return "no digits";
  if (digits.front() == '-') return "a negative number";
  const bool is_number = digits.find_first_not_of("0123456789") == std::string_view::npos;
  return is_number ? "a number that is too large" : "text";
}

// Sets *amount to the number that the text consists of. Returns false if it is something else.
bool read_digits(std::string_view text, int64_t* amount) {
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, *amount);
  return read.ec == std::errc() && read.ptr == end && text.front() != '-';
}

// The value of a header that may occur once; nullptr if it is absent. `key` is in lower case.
const std::string* only_value(const Request& request, const char* key, const char* header,
                              const char* expected) {
  const std::string* found = nullptr;
  for (const auto& [name, value] : request.headers) {
    if (name != key) continue;
    if (found != nullptr) refuse(header, expected, "the header twice");
    found = &value;
  }
  return found;
}

// The nanoseconds of a unit of grpc-timeout; 0 if there is no such unit.
int64_t unit_ns(char unit) {
  switch (unit) {
    case 'H':
      return INT64_C(3600000000000);
    case 'M':
      return INT64_C(60000000000);
    case 'S':
      return 1000000000;
    case 'm':
      return 1000000;
    case 'u':
      return 1000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

// So many nanoseconds after the request arrived, or the latest time point if that overflows.
Clock::time_point after(const Request& request, int64_t ns) {
  const auto left = (Clock::time_point::max() - request.begun).count();
  return request.begun + std::chrono::nanoseconds(std::min<int64_t>(ns, left));
}

// The same for a time that a client asks for.
Clock::time_point after(const Request& request, int64_t amount, int64_t unit) {
  const int64_t longest = kLongestRun.count();
  return after(request, amount > longest / unit ? longest : amount * unit);
}

}  // namespace

Clock::time_point http_deadline(const Request& request, int64_t timeout_ns) {
  constexpr const char* kExpected = "whole milliseconds in digits, such as 2000";
  constexpr int64_t kNsPerMs = 1000000;
  const std::string* const text = only_value(request, kTimeoutField, kTimeoutHeader, kExpected);
  if (text == nullptr) return after(request, timeout_ns);
  int64_t ms = 0;
  if (!read_digits(*text, &ms)) refuse(kTimeoutHeader, kExpected, fault_of(*text));
  return after(request, ms, kNsPerMs);
}

Clock::time_point grpc_deadline(const Request& request, int64_t timeout_ns) {
  constexpr const char* kHeader = "grpc-timeout";
  constexpr const char* kExpected =
      "one to eight digits and one of the units H, M, S, m, u, n, such as 2000m";
  constexpr size_t kMaxDigits = 8;
  const std::string* const text = only_value(request, kHeader, kHeader, kExpected);
  if (text == nullptr) return after(request, timeout_ns);
  const std::string_view value = *text;
  const std::string_view digits = value.substr(0, value.empty() ? 0 : value.size() - 1);
  int64_t amount = 0;
  if (!read_digits(digits, &amount)) refuse(kHeader, kExpected, fault_of(digits));
  if (digits.size() > kMaxDigits) refuse(kHeader, kExpected, "more digits");
  const int64_t unit = unit_ns(value.back());
  if (unit == 0) refuse(kHeader, kExpected, "another unit");
  return after(request, amount, unit);
}

}  // namespace sidecall::net
