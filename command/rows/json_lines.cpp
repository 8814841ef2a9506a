// Reads JSON records into the reusable call; see json_lines.hpp. A record with any error is passed
// to the library as text, and the library reports what is wrong with the record.
#include "json_lines.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/json/json.h"
#include "base/text/utf8.h"
#include "json_places.hpp"
#include "terminal/output.hpp"
#include "text.hpp"

namespace sidecall::cli {
namespace {

constexpr unsigned kParseFlags =
    rapidjson::kParseInsituFlag | rapidjson::kParseNumbersAsStringsFlag;
constexpr int kMaxDepth = 64;  // the limit of the library
constexpr size_t kSlack = 16;  // the parser reads whole blocks of this size
constexpr int32_t kNoFeature = -1;
constexpr size_t kNotKept = SIZE_MAX;

}  // namespace

// Receives the events of RapidJSON. A method that returns false ends the parse, because the row has
// an error.
class JsonSource::Handler {
 public:
  Handler(JsonSource& source, RowCall& call, int64_t at, std::string_view text,
          rapidjson::InsituStringStream& stream)
      : source_(source), call_(call), at_(at), text_(text), stream_(stream) {}

  bool Null() {
    return value(stream_.Tell() - 4, 4, [&] { return set_missing(feature_); });
  }
  bool Bool(bool flag) {
    const size_t length = flag ? 4 : 5;
    return value(stream_.Tell() - length, length,
                 [&] { return call_.set_bool(at_, feature_, flag); });
  }
  bool RawNumber(const char* number, rapidjson::SizeType length, bool) {
    return value(static_cast<size_t>(number - source_.text_.data()), length,
                 [&] { return set_number({number, length}); });
  }
  bool String(const char* string, rapidjson::SizeType length, bool) {
    const auto begin = static_cast<size_t>(string - source_.text_.data()) - 1;
    const size_t raw_length = kept_ == kNotKept ? 0 : literal_length(text_.substr(begin));
    return value(begin, raw_length,
                 [&] { return call_.set_text(at_, feature_, {string, length}); });
  }
  // RapidJSON passes numbers as text (kParseNumbersAsStringsFlag), so it never calls these.
  bool Double(double) { return false; }
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(int64_t) { return false; }
  bool Uint64(uint64_t) { return false; }

  bool StartObject() { return enter(); }
  bool EndObject(rapidjson::SizeType) { return leave(); }
  bool StartArray() { return depth_ > 0 && enter(); }
  bool EndArray(rapidjson::SizeType) { return leave(); }
  bool Key(const char* text, rapidjson::SizeType length, bool);

  // Sets to missing all features that the record did not contain.
  bool set_absent();

 private:
  template <typename Set>
  bool value(size_t begin, size_t length, Set set) {
    if (depth_ != 1) return depth_ > 1;
    keep(begin, length);
    return feature_ == kNoFeature || set();
  }
  bool enter() {
    if (++depth_ > kMaxDepth || (depth_ == 2 && feature_ != kNoFeature)) return false;
    if (depth_ == 2) nested_from_ = stream_.Tell() - 1;
    return true;
  }
  bool leave() {
    if (--depth_ == 1) keep(nested_from_, stream_.Tell() - nested_from_);
    return true;
  }
  void keep(size_t begin, size_t length) {
    if (kept_ != kNotKept)
      source_.kept_[static_cast<size_t>(at_) * source_.options_.keep.size() + kept_] =
          text_.substr(begin, length);
  }
  bool set_missing(int32_t feature) {
    const RowCall::Place& place = call_.place(feature);
    if (place.first == nullptr || !call_.feature(feature).nullable)
      return call_.set_missing(at_, feature);
    RowCall::write(place, at_, std::nan(""));
    return true;
  }
  bool set_number(std::string_view text) {
    const RowCall::Place& place = call_.place(feature_);
    double number = 0;
    if (place.first == nullptr || parse_plain(text.data(), &number) != text.data() + text.size())
      return call_.set_number(at_, feature_, text, "number");
    RowCall::write(place, at_, number);
    return true;
  }

  JsonSource& source_;
  RowCall& call_;
  const int64_t at_;
  const std::string_view text_;  // the original row; the parser modifies a copy
  rapidjson::InsituStringStream& stream_;
  int depth_ = 0;
  int32_t feature_ = kNoFeature;  // of the last key
  size_t kept_ = kNotKept;
  size_t nested_from_ = 0;
  int32_t guess_ = 0;  // the next feature, if the keys are in the order of the model
};

bool JsonSource::Handler::Key(const char* text, rapidjson::SizeType length, bool) {
  if (depth_ != 1) return true;
  const std::string_view name(text, length);
  const auto& keep = source_.options_.keep;
  const auto kept = keep.empty() ? keep.end() : std::find(keep.begin(), keep.end(), name);
  kept_ = kept == keep.end() ? kNotKept : static_cast<size_t>(kept - keep.begin());
  feature_ = guess_;
  if (guess_ >= call_.num_features() || name != call_.feature(guess_).name) {
    // No feature has a NUL in its name. The parser terminates a key with a NUL, so `text` is a C
    // string.
    const bool has_nul = name.find('\0') != std::string_view::npos;
    feature_ = has_nul ? kNoFeature : sidecall_model_feature(call_.model(), text);
    if (feature_ == kNoFeature) return kept_ != kNotKept || source_.options_.ignore_extra;
  }
  guess_ = feature_ + 1;
  int32_t& seen = source_.seen_[static_cast<size_t>(feature_)];
  return seen++ == 0;
}

bool JsonSource::Handler::set_absent() {
  bool is_good = true;
  for (int32_t i = 0; i < call_.num_features(); ++i) {
    if (source_.seen_[static_cast<size_t>(i)] == 0) is_good = set_missing(i) && is_good;
  }
  return is_good;
}

JsonSource::JsonSource(const RowCall& call, const RowOptions& options)
    : call_(call), options_(options), err_(SIDECALL_ERROR_INIT) {
  err_.faults = faults_.data();
  err_.faults_capacity = kMaxFaults;
}

bool JsonSource::open(RowReader&) { return true; }

bool JsonSource::is_blank(std::string_view text) const { return trimmed(text).empty(); }

Fill JsonSource::fill(RowCall& call, int64_t at, std::string_view text) {
  if (!options_.keep.empty()) {
    const size_t begin = static_cast<size_t>(at) * options_.keep.size();
    kept_.resize(std::max(kept_.size(), begin + options_.keep.size()));
    std::fill_n(kept_.begin() + static_cast<std::ptrdiff_t>(begin), options_.keep.size(),
                std::string_view());
  }
  if (!is_utf8_without_nul(text)) return Fill::kBroken;
  text_.reserve(text.size() + kSlack);
  text_.assign(text);
  seen_.assign(static_cast<size_t>(call.num_features()), 0);
  rapidjson::InsituStringStream stream(text_.data());
  Handler handler(*this, call, at, text, stream);
  json::Reader reader;
  const bool is_record = !reader.Parse<kParseFlags>(stream, handler).IsError();
  return is_record && handler.set_absent() ? Fill::kFilled : Fill::kBroken;
}

sidecall_status JsonSource::judge(std::string_view text) {
  const std::string_view record = trimmed(text);
  if (!record.empty() && record.front() == '[') {
    err_.num_faults = 0;
    std::strcpy(err_.message, "expected a record, got array");
    return SIDECALL_DTYPE_MISMATCH;
  }
  sidecall_text* raw = nullptr;
  const sidecall_status status =
      sidecall_predict_json(call_.model(), record.data(), record.size(), &raw, &err_);
  const Text answer(raw);
  if (status != SIDECALL_OK) return status;
  // Both readers should accept the same rows. If they ever differ, report an error for this row
  // only.
  err_.num_faults = 0;
  std::strcpy(
      err_.message,
      "expected a record that the command can parse, got one that only the library can parse");
  return SIDECALL_INVALID_JSON;
}

std::vector<std::string> JsonSource::explain(const RowCall&, const Row& row,
                                             const std::string& file) {
  const sidecall_status status = judge(row.text);
  const sidecall_error& error = err_;
  if (exit_code_of(status) != kBadInput) throw Failure(exit_code_of(status), error.message);
  const auto place = [&](size_t byte) {
    return file + ":" + std::to_string(row.line) + ":" +
           std::to_string(count_characters(row.text.substr(0, byte)) + 1) + ": ";
  };
  const size_t listed = std::min<size_t>(error.num_faults, kMaxFaults);
  if (listed == 0) {
    std::string message = error.message;
    const size_t byte = place_of_problem(row.text, &message);
    return {place(byte) + message};
  }
  const JsonPlaces places(row.text);
  std::vector<std::string> problems;
  problems.reserve(listed + 1);
  for (size_t i = 0; i < listed; ++i)
    problems.push_back(place(places.of(faults_[i].name)) + faults_[i].message);
  if (error.num_faults > listed)
    problems.push_back(place(places.of_record()) + "and " +
                       counted(error.num_faults - static_cast<int64_t>(listed), "more fault"));
  return problems;
}

std::unique_ptr<RowSource> make_json_source(const RowCall& call, const RowOptions& options) {
  return std::make_unique<JsonSource>(call, options);
}

}  // namespace sidecall::cli
