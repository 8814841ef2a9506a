// Compares the answer of a backend with the expectation of a case; see tests/vectors/README.md for
// the rules.
#include "vector_runner.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <functional>

namespace vectors {
namespace {

using rapidjson::Value;

std::string show(const Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>,
                    rapidjson::CrtAllocator, rapidjson::kWriteNanAndInfFlag>
      writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

bool near(double got, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::fabs(got - expected) <= tolerance;
}

// JSON cannot express a number that is not finite, so a JSON answer has null instead.
bool same_special(const Value& expected, const Value& got) {
  const std::string word = expected.GetString();
  if (word != "nan" && word != "inf" && word != "-inf") return false;
  if (got.IsNull()) return true;
  if (!got.IsDouble()) return false;
  return word == "nan"
             ? std::isnan(got.GetDouble())
             : std::isinf(got.GetDouble()) && std::signbit(got.GetDouble()) == (word == "-inf");
}

bool same(const Value& expected, const Value& got, double tolerance) {
  if (expected.IsObject()) {
    if (!got.IsObject() || got.MemberCount() != expected.MemberCount()) return false;
    auto at = got.MemberBegin();  // the order of the outputs in the contract is part of the answer
    for (const auto& member : expected.GetObject()) {
      if (member.name != at->name || !same(member.value, at->value, tolerance)) return false;
      ++at;
    }
    return true;
  }
  if (expected.IsArray()) {
    if (!got.IsArray() || got.Size() != expected.Size()) return false;
    for (rapidjson::SizeType i = 0; i < got.Size(); ++i) {
      if (!same(expected[i], got[i], tolerance)) return false;
    }
    return true;
  }
  if (expected.IsString()) return got.IsString() ? expected == got : same_special(expected, got);
  if (expected.IsInt64() && got.IsInt64())
    return near(static_cast<double>(got.GetInt64() - expected.GetInt64()), 0, tolerance);
  if (expected.IsNumber())
    return got.IsNumber() && near(got.GetDouble(), expected.GetDouble(), tolerance);
  return expected == got;
}

template <typename T>
bool same_floats(const Tensor& expected, const Tensor& got, double tolerance) {
  for (size_t at = 0; at + sizeof(T) <= expected.bytes.size(); at += sizeof(T)) {
    T a, b;
    std::memcpy(&a, &expected.bytes[at], sizeof a);
    std::memcpy(&b, &got.bytes[at], sizeof b);
    if (!near(static_cast<double>(b), static_cast<double>(a), tolerance)) return false;
  }
  return true;
}

std::string compare(const Tensor& expected, const Tensor& got, double tolerance) {
  if (expected.dtype != got.dtype) return std::string("dtype ") + sidecall_dtype_name(got.dtype);
  if (expected.dims != got.dims) return "another shape";
  if (expected.bytes.size() != got.bytes.size()) return std::to_string(got.bytes.size()) + " bytes";
  if (expected.offsets != got.offsets) return "other offsets";
  if (expected.dtype == SIDECALL_DTYPE_FLOAT32)
    return same_floats<float>(expected, got, tolerance) ? "" : "other values";
  if (expected.dtype == SIDECALL_DTYPE_FLOAT64)
    return same_floats<double>(expected, got, tolerance) ? "" : "other values";
  return expected.bytes == got.bytes ? "" : "other values";
}

std::string compare(const Named& expected, const Named& got, double tolerance) {
  if (expected.size() != got.size()) return std::to_string(got.size()) + " outputs";
  for (const auto& [name, tensor] : expected) {
    bool found = false;
    for (const auto& [other, value] : got) {
      if (other != name) continue;
      found = true;
      if (std::string problem = compare(tensor, value, tolerance); !problem.empty())
        return "output " + name + ": " + problem;
    }
    if (!found) return "no output " + name;
  }
  return "";
}

// Checks the rules that hold for every message: one line, starts in lower case, names the subject;
// also checks the status and its retryable flag.
std::string check_form(const sidecall_error& error) {
  const std::string message = error.message;
  if (message.empty()) return "no message";
  if (std::any_of(message.begin(), message.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20; }))
    return "control characters in the message: " + message;
  if (std::isupper(static_cast<unsigned char>(message[0])))
    return "a message that starts with a capital letter: " + message;
  if (std::strcmp(sidecall_status_name(error.status), "UNKNOWN") == 0)
    return "a status without a name";
  if (error.status == SIDECALL_INTERNAL) return "our own bug: " + message;
  const bool plain_name = std::none_of(error.name, error.name + std::strlen(error.name),
                                       [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (plain_name && message.find(error.name) == std::string::npos)
    return "a message without the name: " + message;
  const bool retryable = error.status == SIDECALL_BUSY || error.status == SIDECALL_PEER_DIED ||
                         error.status == SIDECALL_TIMEOUT || error.status == SIDECALL_UNREACHABLE ||
                         error.status == SIDECALL_OUT_OF_MEMORY;
  if (retryable != (error.retryable == 1)) return "retryable is wrong";
  return "";
}

template <typename T, typename U>
std::string differ(const char* what, const std::optional<T>& expected, const U& got) {
  if (!expected || *expected == got) return "";
  if constexpr (std::is_integral_v<U>) return std::string(what) + " " + std::to_string(got) + "; ";
  else return std::string(what) + " \"" + got + "\"; ";
}

std::string compare(const Case& one, const sidecall_error& error) {
  if (sidecall_status_name(error.status) != one.expect_status)
    return std::string("got ") + sidecall_status_name(error.status) + ": " + error.message;
  const Expected& want = one.expect_error;
  std::string problem = check_form(error);
  problem += differ("name", want.name, std::string(error.name)) +
             differ("expected", want.expected, std::string(error.expected)) +
             differ("got", want.got, std::string(error.got));
  problem += differ("message", want.message, std::string(error.message)) +
             differ("row", want.row, error.row) +
             differ("num_faults", want.num_faults, static_cast<int64_t>(error.num_faults));
  return problem.empty() ? "" : problem + " in: " + error.message;
}

// Runs the case in one way of calling. `ask` compares the answer; this function compares a failure.
std::string attempt(const Case& one, const char* way, const std::function<std::string()>& ask) {
  std::string problem;
  try {
    problem = ask();
    if (problem.empty() && !one.expect_status.empty())
      problem = "expected " + one.expect_status + ", but it passed";
  } catch (const Failure& failure) {
    problem = one.expect_status.empty() ? std::string(sidecall_status_name(failure.error.status)) +
                                              ": " + failure.error.message
                                        : compare(one, failure.error);
  }
  return problem.empty() ? "" : std::string(way) + ": " + problem;
}

std::string ask(Model& model, const Case& one) {
  std::string problem;
  if (one.inputs) {
    problem = attempt(one, "run", [&] {
      const Named outputs = model.run(*one.inputs);
      return one.outputs ? compare(*one.outputs, outputs, one.tolerance) : "";
    });
  }
  if (problem.empty() && one.json) {
    problem = attempt(one, "json", [&]() -> std::string {
      const std::string text = model.predict_json(*one.json);
      if (one.result == nullptr) return "";
      rapidjson::Document got;
      got.Parse<rapidjson::kParseFullPrecisionFlag>(text.data(), text.size());
      if (got.HasParseError()) return "not JSON: " + text;
      return same(*one.result, got, one.tolerance) ? "" : "got " + text;
    });
  }
  if (problem.empty() && one.record != nullptr && has_native_form(*one.record)) {
    problem = attempt(one, "values", [&]() -> std::string {
      const rapidjson::Document got = model.predict(*one.record);
      return one.result == nullptr || same(*one.result, got, one.tolerance) ? ""
                                                                            : "got " + show(got);
    });
  }
  return problem;
}

}  // namespace

bool has_native_form(const Value& record) { return !record.IsArray() || !record.Empty(); }

std::string run_case(Backend& backend, const Suite& suite, const Case& one) {
  std::unique_ptr<Model> model;
  const bool only_opens = !one.inputs && !one.json;
  if (only_opens) return attempt(one, "open", [&] { return model = backend.open(one), ""; });
  try {
    model = backend.open(one);
  } catch (const Failure& failure) {
    if (!one.expect_status.empty()) return compare(one, failure.error);
    return std::string("open: ") + sidecall_status_name(failure.error.status) + ": " +
           failure.error.message;
  }
  std::string problem = ask(*model, one);
  if (problem.empty() && !one.after.empty()) {
    problem = ask(*model, suite.at(one.after));
    if (!problem.empty()) problem = "afterwards, " + problem;
  }
  return problem;
}

}  // namespace vectors
