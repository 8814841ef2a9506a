// The events of a function, and the answers in their form: records as they are, or requests over
// HTTP of API Gateway and of function URLs, whose body holds the records. Used by lambda.cpp.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sidecall::cli {

struct Event {
  std::string_view text;
  bool is_http = false;
  std::string body;  // of a request over HTTP
  // A request that holds no records has instead a status of HTTP, and a text that says why.
  int refused = 0;
  std::string reason;

  // The records as JSON.
  std::string_view records() const { return is_http ? body : text; }
};

// Reads an event. `text` must stay as long as the event. `left` is the memory for it, in bytes.
//
// An event is HTTP if it is an object with an object `requestContext`: no value of a record is an
// object. Payloads 1.0 (REST APIs, HTTP APIs) and 2.0 (HTTP APIs, function URLs) are taken.
Event read_event(std::string_view text, uint64_t left);

// The error text for an event that needs more bytes than are left.
std::string not_enough_memory(uint64_t needed, uint64_t left);

// The answer to a request over HTTP, for both payloads.
std::string http_answer(int http_status, std::string_view body);

// The body of an error over HTTP. It is that of `sidecall serve --http`; see net/PROTOCOL.md.
std::string http_error(sidecall_status status, const sidecall_error& error);
std::string http_refusal(std::string_view reason);

// The error of an event that is not HTTP, as Lambda's own runtimes write it, with the faults.
std::string lambda_error(sidecall_status status, const sidecall_error& error);

}  // namespace sidecall::cli
