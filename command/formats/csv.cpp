// Reads CSV (RFC 4180) with a header of feature names; used by predict and diff.
#include "csv.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/text/utf8.h"
#include "rows/source.hpp"
#include "rows/text.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {

namespace {

constexpr const char* kExpectedUtf8 = "expected UTF-8 without NUL: save the file as UTF-8";

// The problem of a field for which next_field() returned false.
const char* quotes_expected(const CsvField& field) {
  return field.is_quoted ? "expected a closing quote before the next comma, got none"
                         : "expected quotes around a field that contains a quote, got none";
}

}  // namespace

bool next_field(const char*& at, const char* end, CsvField* field) {
  const char* begin = at;
  field->is_quoted = at < end && *at == '"';
  if (field->is_quoted) {
    bool has_pairs = false;
    for (++at;; at += 2, has_pairs = true) {
      at = static_cast<const char*>(std::memchr(at, '"', static_cast<size_t>(end - at)));
      if (at == nullptr) {
        at = end;
        return false;  // no closing quote
      }
      if (at + 1 >= end || at[1] != '"') break;
    }
    field->text = std::string_view(begin + 1, static_cast<size_t>(at - begin) - 1);
    field->has_pairs = has_pairs;
    ++at;
    field->raw = std::string_view(begin, static_cast<size_t>(at - begin));
    return at == end || *at == ',';
  }
  const auto* comma = static_cast<const char*>(std::memchr(at, ',', static_cast<size_t>(end - at)));
  at = comma ? comma : end;
  field->text = field->raw = std::string_view(begin, static_cast<size_t>(at - begin));
  field->has_pairs = false;
  return field->text.find('"') == std::string_view::npos;
}

std::string_view unquoted(const CsvField& field, std::string* memory) {
  if (!field.has_pairs) return field.text;
  memory->clear();
  for (size_t i = 0; i < field.text.size(); ++i) {
    memory->push_back(field.text[i]);
    if (field.text[i] == '"') ++i;
  }
  return *memory;
}

namespace {

constexpr int32_t kNoFeature = -1;
constexpr int32_t kNotKept = -1;
constexpr size_t kMaxColumns = size_t{1} << 20;

class CsvSource : public RowSource {
 public:
  CsvSource(const RowCall& call, const RowOptions& options) : call_(call), options_(options) {}

  bool open(RowReader& reader) override;
  bool is_blank(std::string_view text) const override { return text.empty(); }
  Fill fill(RowCall& call, int64_t at, std::string_view text) override;
  std::string_view kept(int64_t at, size_t index) const override {
    return kept_[static_cast<size_t>(at) * options_.keep.size() + index];
  }
  std::vector<std::string> explain(const RowCall& call, const Row& row,
                                   const std::string& file) override;

 private:
  struct Column {
    std::string name;
    int32_t feature = kNoFeature;
    int32_t kept = kNotKept;
  };

  std::string add_column(std::string name);  // returns an error text, or ""
  std::string find_absent();                 // likewise
  bool set_field(RowCall& call, int64_t at, const Column& column, const CsvField& field);
  bool set_value(RowCall& call, int64_t at, int32_t feature, const CsvField& field);
  Fill fail(const char* at, std::string problem);

  const RowCall& call_;
  const RowOptions& options_;
  std::vector<Column> columns_;
  std::vector<int32_t> absent_;  // features without a column; they are set to missing
  std::vector<std::string_view> kept_;
  std::string memory_;
  const char* problem_at_ = nullptr;  // place of the syntax error in the last row, or null
  std::string problem_;
};

// Returns "file:line:column: " for a byte of a row. Line and column count from 1; the column is in
// characters.
std::string place_in(const std::string& file, const Row& row, const char* byte) {
  const std::string_view before = row.text.substr(0, static_cast<size_t>(byte - row.text.data()));
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const size_t column = count_characters(before.substr(line_begin));
  return file + ":" + std::to_string(row.line + lines) + ":" + std::to_string(column + 1) + ": ";
}

bool CsvSource::open(RowReader& reader) {
  std::vector<Row> rows;
  do {
    if (!reader.next(1, rows)) {
      if (noted_interrupt()) return false;
      throw InputFailure(reader.name() + ":1:1: expected a header, got an empty file");
    }
  } while (is_blank(rows[0].text));
  const Row& header = rows[0];
  const char* at = header.text.data();
  const char* end = at + header.text.size();
  for (bool is_more = true; is_more; ++at) {
    const char* begin = at;
    CsvField field;
    // Compute the place only if there is an error, because computing it counts all preceding
    // characters.
    const auto fail_here = [&](const std::string& problem) {
      throw InputFailure(place_in(reader.name(), header, begin) + problem);
    };
    if (!next_field(at, end, &field)) fail_here(quotes_expected(field));
    std::string name(unquoted(field, &memory_));
    if (!is_utf8_without_nul(name)) fail_here(kExpectedUtf8);
    if (columns_.size() == kMaxColumns)
      fail_here("expected at most " + std::to_string(kMaxColumns) + " columns, got more");
    const std::string problem = add_column(std::move(name));
    if (!problem.empty()) fail_here(problem);
    is_more = at < end;
  }
  for (const auto& name : options_.keep) {
    if (std::none_of(columns_.begin(), columns_.end(),
                     [&](const Column& column) { return column.name == name; }))
      throw InputFailure(place_in(reader.name(), header, header.text.data()) + "--keep: column '" +
                         name + "' is not in the header");
  }
  const std::string problem = find_absent();
  if (!problem.empty())
    throw InputFailure(place_in(reader.name(), header, header.text.data()) + problem);
  return true;
}

std::string CsvSource::find_absent() {
  constexpr size_t kMostNames = 5;
  std::string names;
  size_t num_refused = 0;
  bool is_nullable = true;
  for (int32_t i = 0; i < call_.num_features(); ++i) {
    if (std::any_of(columns_.begin(), columns_.end(),
                    [&](const Column& column) { return column.feature == i; }))
      continue;
    const auto& spec = call_.feature(i);
    if (spec.nullable && options_.absent_is_missing) {
      absent_.push_back(i);
      continue;
    }
    is_nullable = is_nullable && spec.nullable;
    if (++num_refused <= kMostNames)
      names += (names.empty() ? "'" : ", '") + std::string(spec.name) + "'";
  }
  if (num_refused == 0) return "";
  if (num_refused > kMostNames)
    names += " and " + std::to_string(num_refused - kMostNames) + " more";
  std::string text = num_refused == 1 ? "feature " + names + ": expected a column, got none"
                                      : "features " + names + ": expected columns, got none";
  if (is_nullable)
    text += num_refused == 1 ? " (--absent=missing takes it as missing)"
                             : " (--absent=missing takes them as missing)";
  return text;
}

std::string CsvSource::add_column(std::string name) {
  Column column{std::move(name)};
  column.feature = sidecall_model_feature(call_.model(), column.name.c_str());
  const auto kept = std::find(options_.keep.begin(), options_.keep.end(), column.name);
  if (kept != options_.keep.end()) column.kept = static_cast<int32_t>(kept - options_.keep.begin());
  const bool is_used = column.feature != kNoFeature || column.kept != kNotKept;
  if (is_used && std::any_of(columns_.begin(), columns_.end(),
                             [&](const Column& other) { return other.name == column.name; }))
    return "column '" + column.name + "': expected each column once, got it twice";
  if (!is_used && !options_.ignore_extra) {
    return "feature '" + column.name +
           "': expected a feature of the model, got an unknown name (--extra=ignore skips the "
           "column, --keep copies it)";
  }
  columns_.push_back(std::move(column));
  return "";
}

Fill CsvSource::fail(const char* at, std::string problem) {
  problem_at_ = at;
  problem_ = std::move(problem);
  return Fill::kBroken;
}

Fill CsvSource::fill(RowCall& call, int64_t row, std::string_view text) {
  problem_at_ = nullptr;
  if (!options_.keep.empty())
    kept_.resize(std::max(kept_.size(), (static_cast<size_t>(row) + 1) * options_.keep.size()));
  const char* at = text.data();
  const char* end = at + text.size();
  bool is_good = true;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    const char* begin = at;
    bool is_set = false;
    if (column.feature != kNoFeature) {
      const RowCall::Place& place = call.place(column.feature);
      double number = 0;
      if (place.first != nullptr) {
        const char* behind = parse_plain(at, &number);
        if (behind != nullptr && (behind == end || *behind == ',')) {
          RowCall::write(place, row, number);
          is_set = true;
          at = behind;
        }
      }
    }
    if (!is_set || column.kept != kNotKept) {
      at = begin;
      CsvField field;
      if (!next_field(at, end, &field)) return fail(begin, quotes_expected(field));
      if (column.kept != kNotKept) {
        if (!is_utf8_without_nul(field.raw))
          return fail(begin, "column '" + column.name + "': " + kExpectedUtf8);
        kept_[static_cast<size_t>(row) * options_.keep.size() + static_cast<size_t>(column.kept)] =
            field.raw;
      }
      if (!is_set) is_good = set_field(call, row, column, field) && is_good;
    }
    const bool is_last = i + 1 == columns_.size();
    if (at == end && !is_last)
      return fail(at, "expected " + counted(static_cast<int64_t>(columns_.size()), "field") +
                          ", got " + std::to_string(i + 1));
    if (at < end) {
      if (is_last)
        return fail(at, "expected " + counted(static_cast<int64_t>(columns_.size()), "field") +
                            ", got more");
      ++at;
    }
  }
  for (const int32_t feature : absent_) {
    const RowCall::Place& place = call.place(feature);
    if (place.first != nullptr) RowCall::write(place, row, std::nan(""));
    else is_good = call.set_missing(row, feature) && is_good;
  }
  return is_good ? Fill::kFilled : Fill::kRefused;
}

bool CsvSource::set_field(RowCall& call, int64_t at, const Column& column, const CsvField& field) {
  if (column.feature == kNoFeature) return true;
  // An empty field is a missing value; an empty string must be in quotes.
  const auto& spec = call.feature(column.feature);
  if (field.text.empty() && !(field.is_quoted && spec.dtype == SIDECALL_DTYPE_STRING)) {
    const RowCall::Place& place = call.place(column.feature);
    if (place.first == nullptr || !spec.nullable) return call.set_missing(at, column.feature);
    RowCall::write(place, at, std::nan(""));
    return true;
  }
  return set_value(call, at, column.feature, field);
}

bool CsvSource::set_value(RowCall& call, int64_t at, int32_t feature, const CsvField& field) {
  const std::string_view text = unquoted(field, &memory_);
  switch (call.feature(feature).dtype) {
    case SIDECALL_DTYPE_STRING:
      return call.set_text(at, feature, text);
    case SIDECALL_DTYPE_DATETIME:
      return parse_number(text).kind == Number::Kind::kNone
                 ? call.set_text(at, feature, text)
                 : call.set_number(at, feature, text, "text");
    case SIDECALL_DTYPE_BOOL:
      if (text == "true" || text == "True" || text == "TRUE")
        return call.set_bool(at, feature, true);
      if (text == "false" || text == "False" || text == "FALSE")
        return call.set_bool(at, feature, false);
      return call.set_invalid(at, feature, "text");
    default:
      return call.set_number(at, feature, text, "text");
  }
}

std::vector<std::string> CsvSource::explain(const RowCall& call, const Row& row,
                                            const std::string& file) {
  if (problem_at_ != nullptr) return {place_in(file, row, problem_at_) + problem_};
  if (call.num_faults() == 0) return {place_in(file, row, row.text.data()) + call.error().message};
  std::vector<std::string> problems;
  for (size_t i = 0; i < call.num_faults(); ++i) {
    const auto& fault = call.fault(i);
    const char* at = row.text.data();
    const char* end = at + row.text.size();
    for (const auto& column : columns_) {
      const bool is_here = column.feature != kNoFeature && column.name == fault.name;
      const char* begin = at;
      CsvField field;
      next_field(at, end, &field);
      if (!is_here) {
        at = std::min(at + 1, end);
        continue;
      }
      at = begin;
      break;
    }
    problems.push_back(place_in(file, row, at) + fault.message);
  }
  const auto unlisted =
      static_cast<int64_t>(call.error().num_faults) - static_cast<int64_t>(call.num_faults());
  if (unlisted > 0)
    problems.push_back(place_in(file, row, row.text.data()) + "and " +
                       counted(unlisted, "more fault"));
  return problems;
}

}  // namespace

std::unique_ptr<RowSource> make_csv_source(const RowCall& call, const RowOptions& options) {
  return std::make_unique<CsvSource>(call, options);
}

}  // namespace sidecall::cli
