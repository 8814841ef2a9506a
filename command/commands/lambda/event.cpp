// Reads events and writes answers; see event.hpp.
#include "event.hpp"

#include <strings.h>

#include <algorithm>
#include <utility>

#include "base/json/fault_json.h"
#include "base/json/json_memory.h"
#include "base/json/json_text.h"
#include "base/text/base64.h"
#include "base/text/media_type.h"
#include "formats/json.hpp"

namespace sidecall::cli {
namespace {

// The value of a header, whose name may be written in any case; "" if there is none.
std::string header_of(const Json& request, const char* name) {
  const Json& headers = at(request, "headers");
  if (!headers.IsObject()) return "";
  for (const auto& header : headers.GetObject()) {
    if (::strcasecmp(header.name.GetString(), name) == 0) return text_of(header.value);
  }
  return "";
}

std::string method_of(const Json& request) {
  const std::string method = text_at(request, "httpMethod");  // payload 1.0
  return method.empty() ? text_at(at(at(request, "requestContext"), "http"), "method") : method;
}

void refuse(Event* event, int http_status, const std::string& reason) {
  event->refused = http_status;
  event->reason = reason;
}

void read_request(const Json& request, Event* event) {
  event->is_http = true;
  const std::string method = method_of(request);
  const std::string type = header_of(request, "content-type");
  if (method.empty())
    return refuse(event, 400,
                  "expected the event of an HTTP request, got an event without an HTTP method");
  if (method != "POST")
    return refuse(event, 405,
                  "expected the method POST: send the record in the body of a POST request");
  if (!is_media_type(type, "application/json"))
    return refuse(event, 415,
                  "expected the content type application/json: set the header Content-Type to it");
  event->body = text_at(request, "body");
  if (true_at(request, "isBase64Encoded")) {
    auto decoded = decode_base64(event->body);
    if (!decoded)
      return refuse(event, 400,
                    "body: expected base64, because isBase64Encoded is true, got characters that "
                    "are not base64");
    event->body = std::move(*decoded);
  }
}

void append_member(const char* key, std::string_view value, std::string* out) {
  out->append("\"").append(key).append("\":");
  append_json_string(value, out);
}

// The faults as members of a JSON object, each with a comma before it.
void append_faults(const sidecall_error& error, std::string* out) {
  if (error.num_faults == 0) return;
  out->append(",\"num_faults\":" + std::to_string(error.num_faults) + ",\"faults\":[");
  for (uint32_t i = 0; i < std::min(error.num_faults, error.faults_capacity); ++i) {
    const sidecall_fault& fault = error.faults[i];
    if (i > 0) out->push_back(',');
    // "feature 'age': expected float32, got string" begins with the kind of thing that `name`
    // names; "records: expected ..." has no name.
    const std::string_view message = fault.message;
    append_fault(
        {fault.row, sidecall_status_name(fault.status),
         message.substr(0, message.find_first_of(" :")), fault.name, fault.expected, fault.got},
        out);
  }
  out->push_back(']');
}

}  // namespace

std::string not_enough_memory(uint64_t needed, uint64_t left) {
  const auto mib = [](uint64_t bytes) { return std::to_string(bytes >> 20U) + " MiB"; };
  return "event: expected one that needs at most the " + mib(left) +
         " that are left of the memory of the function, got one that needs about " + mib(needed) +
         ": send fewer records, or give the function more memory";
}

Event read_event(std::string_view text, uint64_t left) {
  Event event;
  event.text = text;
  constexpr std::string_view kContext = "\"requestContext\"";
  if (text.find(kContext) == std::string_view::npos) return event;
  if (const uint64_t needed = memory_for_json(text); needed > left) {
    event.is_http = true;
    refuse(&event, 503, not_enough_memory(needed, left));
    return event;
  }
  const JsonDocument document = parse_json(text);
  if (at(document, "requestContext").IsObject()) read_request(document, &event);
  return event;
}

std::string http_answer(int http_status, std::string_view body) {
  std::string out = "{\"statusCode\":" + std::to_string(http_status) +
                    ",\"headers\":{\"content-type\":\"application/json\","
                    "\"x-content-type-options\":\"nosniff\"";
  if (http_status == 405) out += ",\"allow\":\"POST\"";
  if (http_status == 503) out += ",\"retry-after\":\"1\"";
  out += "},\"isBase64Encoded\":false,";
  append_member("body", body, &out);
  return out + "}";
}

std::string http_error(sidecall_status status, const sidecall_error& error) {
  std::string out = "{";
  append_member("error", error.message, &out);
  out.push_back(',');
  append_member("status", sidecall_status_name(status), &out);
  append_faults(error, &out);
  return out + "}";
}

std::string http_refusal(std::string_view reason) {
  std::string out = "{";
  append_member("error", reason, &out);
  return out + "}";
}

std::string lambda_error(sidecall_status status, const sidecall_error& error) {
  std::string out = "{";
  append_member("errorType", sidecall_status_name(status), &out);
  out.push_back(',');
  append_member("errorMessage", error.message, &out);
  out += ",\"stackTrace\":[]";
  append_faults(error, &out);
  return out + "}";
}

}  // namespace sidecall::cli
