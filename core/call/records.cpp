// Reads and writes records as JSON; see records.h. Used by model.cpp. RapidJSON parses the text but
// not the numbers in it, which Handler::set_number() converts.
#include "records.h"

#if defined(__SSE2__)
#define RAPIDJSON_SSE2
#elif defined(__ARM_NEON)
#define RAPIDJSON_NEON
#endif
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/json/json.h"
#include "base/json/json_problem.h"
#include "base/json/json_text.h"
#include "base/text/number.h"
#include "core/error.h"
#include "core/text.h"

namespace sidecall {
namespace {

// Parses in place: strings and numbers are passed on as views of the text, without a copy. Encoding
// and control characters are checked beforehand, eight bytes at a time, because RapidJSON 1.1 with
// SSE2 accepts the bytes 0x1A to 0x1F inside strings. If strings are long, this check takes less
// time than parsing without SSE2 would.
constexpr unsigned kParseFlags =
    rapidjson::kParseInsituFlag | rapidjson::kParseNumbersAsStringsFlag;
constexpr int kMaxDepth = 64;
// RapidJSON reads whole blocks of this size, also beyond the end of the text.
constexpr size_t kReadAhead = 16;

// Receives RapidJSON's events. Depth 0 is outside of everything, 1 is the list or the single
// record, 2 is a record of the list. A value of a record may itself be an object or an array. No
// feature accepts such a value, and everything inside it is skipped.
class Handler {
 public:
  // `seen` must hold -1 for each feature.
  Handler(Call* call, bool is_list, std::vector<int64_t>* seen)
      : call_(call), signature_(call->signature()), record_depth_(is_list ? 2 : 1), seen_(*seen) {}

  bool Null() {
    return value("null", [&](int32_t feature) { call_->features().set_missing(row_, feature); });
  }
  bool Bool(bool flag) {
    return value("bool",
                 [&](int32_t feature) { call_->features().set_bool(row_, feature, flag ? 1 : 0); });
  }
  bool RawNumber(const char* text, rapidjson::SizeType length, bool) {
    return value("number",
                 [&](int32_t feature) { set_number(feature, std::string_view(text, length)); });
  }
  bool String(const char* text, rapidjson::SizeType length, bool) {
    return value("string", [&](int32_t feature) {
      call_->features().set_str(row_, feature, std::string_view(text, length));
    });
  }
  // Numbers come as text, so RapidJSON never calls these.
  bool Double(double) { return false; }
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(int64_t) { return false; }
  bool Uint64(uint64_t) { return false; }

  bool StartObject() { return enter("object"); }
  bool EndObject(rapidjson::SizeType) { return leave(); }
  bool StartArray() { return enter("array"); }
  bool EndArray(rapidjson::SizeType) { return leave(); }
  bool Key(const char* text, rapidjson::SizeType length, bool);

  // Why the parser was stopped; "" if it was not.
  const std::string& complaint() const { return complaint_; }
  int32_t status() const { return status_; }

 private:
  template <typename Set>
  bool value(const char* got, Set set);
  bool enter(const char* got);
  bool leave();
  bool complain(int32_t status, std::string text) {
    status_ = status;
    complaint_ = std::move(text);
    return false;
  }
  void set_number(int32_t feature, std::string_view text);

  Call* call_;
  const Signature& signature_;
  const int record_depth_;
  int depth_ = 0;
  int64_t row_ = -1;
  int32_t feature_ = -1;  // of the last key; -1 if it names no feature
  // The feature of the next key, if the record has its keys in the order of the contract, as most
  // records do.
  size_t guess_ = 0;
  std::vector<int64_t>& seen_;
  std::string complaint_;
  int32_t status_ = SIDECALL_INVALID_JSON;
};

// The call remembers refused values, so the parser goes on.
template <typename Set>
bool Handler::value(const char* got, Set set) {
  if (depth_ < record_depth_)
    return complain(SIDECALL_DTYPE_MISMATCH, std::string("expected a record, got ") + got);
  if (depth_ > record_depth_ || feature_ < 0) return true;
  set(feature_);
  return true;
}

bool Handler::enter(const char* got) {
  ++depth_;
  if (depth_ > kMaxDepth)
    return complain(SIDECALL_INVALID_JSON,
                    "expected at most " + std::to_string(kMaxDepth) + " levels, got more");
  const bool is_object = *got == 'o';
  if (depth_ < record_depth_) return true;
  if (depth_ == record_depth_) {
    ++row_;
    guess_ = 0;
    return is_object ? true : complain(SIDECALL_DTYPE_MISMATCH, "expected a record, got array");
  }
  if (depth_ == record_depth_ + 1 && feature_ >= 0)
    call_->features().set_invalid(row_, feature_, SIDECALL_DTYPE_MISMATCH, got);
  return true;
}

bool Handler::leave() {
  --depth_;
  return true;
}

bool Handler::Key(const char* text, rapidjson::SizeType length, bool) {
  if (depth_ != record_depth_) return true;
  const std::string_view name(text, length);
  const bool guessed =
      guess_ < signature_.features.size() && signature_.features[guess_].name == name;
  feature_ = guessed ? static_cast<int32_t>(guess_) : signature_.feature_names.find(name);
  if (feature_ < 0) {
    call_->features().set_unknown(row_, name);
    return true;
  }
  guess_ = static_cast<size_t>(feature_) + 1;
  int64_t& last = seen_[static_cast<size_t>(feature_)];
  if (last == row_)
    return complain(SIDECALL_INVALID_JSON,
                    "expected each key once, got '" + std::string(name) + "' twice in a record");
  last = row_;
  return true;
}

// Parses most numbers quickly: an optional sign, digits, a point, digits. Returns false for any
// other number.
bool parse_plain(std::string_view text, double* number, bool* is_whole) {
  const bool is_negative = text.front() == '-';
  uint64_t digits = 0;
  size_t decimals = 0;
  *is_whole = true;
  if (text.size() > 19) return false;
  for (size_t i = is_negative ? 1 : 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.') {
      *is_whole = false;
    } else if (c >= '0' && c <= '9') {
      digits = digits * 10 + static_cast<uint64_t>(c - '0');
      decimals += *is_whole ? 0 : 1;
    } else {
      return false;
    }
  }
  double magnitude = 0;
  if (!divide_by_power_of_ten(digits, decimals, &magnitude)) return false;
  *number = is_negative ? -magnitude : magnitude;
  return true;
}

void Handler::set_number(int32_t feature, std::string_view text) {
  if (signature_.features[static_cast<size_t>(feature)].is_datetime()) {
    call_->features().set_epoch(row_, feature, text);
    return;
  }
  double number = 0;
  bool is_whole = false;
  Number read;
  if (parse_plain(text, &number, &is_whole)) {
    read.kind = is_whole ? Number::Kind::kInteger : Number::Kind::kReal;
    read.integer = static_cast<int64_t>(number);
    read.real = number;
  } else {
    read = read_number(text);
  }
  if (read.kind == Number::Kind::kInteger) call_->features().set_i64(row_, feature, read.integer);
  else if (read.kind == Number::Kind::kTooLarge)
    call_->features().set_invalid(row_, feature, SIDECALL_OUT_OF_RANGE,
                                  "a number beyond its range");
  else call_->features().set_f64(row_, feature, read.real);
}

// JSON has neither NaN nor infinity: both become null.
void append_finite(double number, std::string* out) {
  if (std::isfinite(number)) append_number(number, out);
  else *out += "null";
}

void append_value(Call* call, int64_t row, int32_t index, const Column& column, std::string* out) {
  if (column.dtype == SIDECALL_DTYPE_STRING)
    return append_json_string(call->columns().get_str(row, index), out);
  if (column.dtype == SIDECALL_DTYPE_BOOL) {
    *out += call->columns().get_i64(row, index) != 0 ? "true" : "false";
    return;
  }
  if (column.dtype == SIDECALL_DTYPE_FLOAT32 || column.dtype == SIDECALL_DTYPE_FLOAT64)
    return append_finite(call->columns().get_f64(row, index), out);
  *out += std::to_string(call->columns().get_i64(row, index));
}

void append_record(Call* call, int64_t row, std::string* out) {
  const Signature& signature = call->signature();
  char close = 0;
  int32_t output = -1;
  out->push_back('{');
  for (size_t i = 0; i < signature.columns.size(); ++i) {
    const Column& column = signature.columns[i];
    if (column.output != output) {
      if (close != 0) out->push_back(close);
      if (output >= 0) out->push_back(',');
      append_json_string(signature.outputs[static_cast<size_t>(column.output)].name, out);
      out->push_back(':');
      close = column.form == SIDECALL_FORM_MEMBER    ? '}'
              : column.form == SIDECALL_FORM_ELEMENT ? ']'
                                                     : 0;
      if (close != 0) out->push_back(close == '}' ? '{' : '[');
      output = column.output;
    } else {
      out->push_back(',');
    }
    if (column.form == SIDECALL_FORM_MEMBER)
      append_json_string(column.key, out), out->push_back(':');
    append_value(call, row, static_cast<int32_t>(i), column, out);
  }
  if (close != 0) out->push_back(close);
  out->push_back('}');
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20; }

std::string byte_text(size_t at) { return " (byte " + std::to_string(at) + ")"; }

[[noreturn]] void refuse_byte(std::string_view json, size_t at) {
  const char* got = is_gzip(json)          ? kGzipInsteadOfJson
                    : json[at] == '\0'     ? "a NUL"
                    : is_control(json[at]) ? "a control character that is not escaped"
                                           : "bytes that are not UTF-8";
  throw Error(SIDECALL_INVALID_JSON,
              std::string("records: expected JSON, got ") + got + byte_text(at));
}

// RapidJSON stops at numbers that float64 cannot hold. Replaces each of them by 9e308, which
// RapidJSON passes on although float64 cannot hold it, and fills up with spaces to keep the length.
void mark_large_numbers(std::string* json) {
  constexpr std::string_view kLarge = "9e308", kInNumber = "+-.0123456789Ee";
  bool in_string = false;
  for (size_t at = 0; at < json->size(); ++at) {
    const char c = (*json)[at];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\') ++at;
    if (in_string || kInNumber.find(c) == std::string_view::npos) continue;
    const size_t end = std::min(json->find_first_not_of(kInNumber, at), json->size());
    const std::string_view number = std::string_view(*json).substr(at, end - at);
    if (number.size() >= kLarge.size() && read_number(number).kind == Number::Kind::kTooLarge) {
      std::fill(json->begin() + static_cast<std::ptrdiff_t>(at),
                json->begin() + static_cast<std::ptrdiff_t>(end), ' ');
      std::copy(kLarge.begin(), kLarge.end(), json->begin() + static_cast<std::ptrdiff_t>(at));
    }
    at = end - 1;
  }
}

}  // namespace

int64_t count_records(std::string_view json) {
  size_t at = 0;
  while (at < json.size() && is_space(json[at])) ++at;
  if (at >= json.size() || json[at] != '[') return 1;
  int64_t records = 0;
  int64_t depth = 0;
  bool in_string = false, any = false;
  for (; at < json.size(); ++at) {
    const char c = json[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"' && at < json.size();
      continue;
    }
    if (depth == 1 && !is_space(c) && c != ']') any = true;
    if (c == '"') in_string = true;
    if (c == '{' && depth == 1) ++records;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && --depth == 0) break;
  }
  return any && records == 0 ? 1 : records;  // 1: the reader will report what is wrong
}

void RecordReader::read(std::string_view json, Call* call) {
  size_t at = 0;
  while (at < json.size() && is_space(json[at])) ++at;
  const bool is_list = at < json.size() && json[at] == '[';
  if (const size_t bad = find_non_json(json); bad < json.size()) refuse_byte(json, bad);
  text_.reserve(json.size() + kReadAhead);
  text_.assign(json);
  const auto parse = [&] {
    seen_.assign(call->signature().features.size(), -1);
    Handler handler(call, is_list, &seen_);
    rapidjson::InsituStringStream stream(text_.data());
    json::Reader reader;
    const rapidjson::ParseResult result = reader.Parse<kParseFlags>(stream, handler);
    if (!handler.complaint().empty())
      throw Error(handler.status(), "records: " + handler.complaint() + byte_text(result.Offset()));
    return result;
  };
  rapidjson::ParseResult result = parse();
  if (result.Code() == rapidjson::kParseErrorNumberTooBig) {
    text_.assign(json);  // parsing has changed it
    mark_large_numbers(&text_);
    call->clear();
    result = parse();
  }
  if (!result.IsError()) return;
  const size_t byte = result.Offset();
  // find_non_json() accepts tab, line feed and carriage return, because they may stand between
  // values. Inside a string they are refused here.
  const bool is_in_string = result.Code() == rapidjson::kParseErrorStringEscapeInvalid ||
                            result.Code() == rapidjson::kParseErrorStringInvalidEncoding;
  if (is_in_string && is_control(json[byte])) refuse_byte(json, byte);
  throw Error(SIDECALL_INVALID_JSON, "records: expected JSON, got " +
                                         found_instead_of_json(json, result.Code(), byte) +
                                         byte_text(byte));
}

void write_records(Call* call, bool as_list, std::string* out) {
  constexpr size_t kTypicalValue = 40;  // bytes of one value with its key
  out->reserve(static_cast<size_t>(call->rows()) * (call->signature().columns.size() + 1) *
               kTypicalValue);
  if (as_list) out->push_back('[');
  for (int64_t row = 0; row < call->rows(); ++row) {
    if (row > 0) out->push_back(',');
    append_record(call, row, out);
  }
  if (as_list) out->push_back(']');
}

}  // namespace sidecall
