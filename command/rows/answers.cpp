// Writes answers; see answers.hpp. Reads numbers directly from the output memory of the engine, and
// formats them as the library does.
#include "answers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "answers_kept.hpp"
#include "base/json/json_text.h"
#include "base/text/number.h"
#include "command.hpp"
#include "terminal/output.hpp"
#include "text.hpp"

namespace sidecall::cli {
namespace {

// Marks the columns that `name`, one of the names in --only, selects. Returns false if there are
// none.
bool mark(const sidecall_model* model, const std::string& name, std::vector<bool>* wanted) {
  bool any = false;
  for (int32_t i = 0; i < sidecall_model_num_columns(model); ++i) {
    const auto* spec = sidecall_model_column_spec(model, i);
    if (name != spec->name && name != sidecall_model_output_spec(model, spec->output)->name)
      continue;
    any = (*wanted)[static_cast<size_t>(i)] = true;
  }
  return any;
}

bool is_floating(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
}

}  // namespace

Answers::Answers(const sidecall_model* model, const std::vector<std::string>& only,
                 const RowOptions& rows, TextFormat from, TextFormat to)
    : model_(model), rows_(rows), from_(from), to_(to) {
  std::vector<bool> wanted(static_cast<size_t>(sidecall_model_num_columns(model)), only.empty());
  for (const auto& name : only) {
    if (mark(model, name, &wanted)) continue;
    std::string known;
    for (int32_t i = 0; i < sidecall_model_num_columns(model); ++i)
      known += (i ? ", '" : "'") + std::string(sidecall_model_column_spec(model, i)->name) + "'";
    throw Failure(kUsage,
                  "predict: --only: expected " + shortened(known, 200) + ", got '" + name + "'");
  }
  for (int32_t i = 0; i < sidecall_model_num_columns(model); ++i) {
    if (!wanted[static_cast<size_t>(i)]) continue;
    const auto* spec = sidecall_model_column_spec(model, i);
    columns_.push_back({i, spec, sidecall_model_output_spec(model, spec->output)->dtype, "",
                        SIDECALL_VIEW_INIT, 1});
  }
  check_kept();
  if (to == TextFormat::kJson) write_parts();
}

// A record must not have two values with the same name, because one would hide the other.
void Answers::check_kept() const {
  for (const auto& name : rows_.keep) {
    if (std::count(rows_.keep.begin(), rows_.keep.end(), name) > 1)
      throw Failure(kUsage, "predict: --keep: expected each name once, got '" + name + "' twice");
    for (const auto& column : columns_) {
      const std::string answer =
          to_ == TextFormat::kCsv ? column.spec->name
                                  : sidecall_model_output_spec(model_, column.spec->output)->name;
      if (answer == name)
        throw Failure(kUsage, "predict: --keep: expected a name that no answer has, got '" + name +
                                  "' (--only can leave that answer out)");
    }
  }
}

// The text around the values of a JSON record is the same for every row, so it is made only once.
void Answers::write_parts() {
  int32_t output = -1;
  char close = 0;
  for (auto& column : columns_) {
    std::string& text = column.before;
    if (column.spec->output != output) {
      if (close != 0) text += close;
      text += output < 0 ? "{" : ",";
      output = column.spec->output;
      append_json_string(sidecall_model_output_spec(model_, output)->name, &text);
      text += ':';
      close = column.spec->form == SIDECALL_FORM_MEMBER    ? '}'
              : column.spec->form == SIDECALL_FORM_ELEMENT ? ']'
                                                           : '\0';
      if (close != 0) text += close == '}' ? '{' : '[';
    } else {
      text += ',';
    }
    if (column.spec->form == SIDECALL_FORM_MEMBER)
      append_json_string(column.spec->key, &text), text += ':';
  }
  if (columns_.empty() && rows_.keep.empty()) after_ = "{";
  if (close != 0) after_ += close;
  after_ += "}\n";
}

std::string Answers::header() const {
  std::string text;
  if (to_ == TextFormat::kJson) return text;
  const auto add = [&](std::string_view name) {
    if (!text.empty()) text += ',';
    append_csv_field(name, &text);
  };
  for (const auto& name : rows_.keep) add(name);
  for (const auto& column : columns_) add(column.spec->name);
  return text + "\n";
}

sidecall_status Answers::fetch(RowCall& call) {
  sidecall_error* err = call.error_room();
  for (auto& column : columns_) {
    // The getters check that the output has the shape that the graph declares.
    const int64_t last = sidecall_call_rows(call.get()) - 1;
    sidecall_status status = SIDECALL_OK;
    if (column.spec->dtype == SIDECALL_DTYPE_STRING) {
      const char* text = nullptr;
      size_t length = 0;
      status = sidecall_call_get_str(call.get(), last, column.index, &text, &length, err);
    } else if (is_floating(column.spec->dtype)) {
      double number = 0;
      status = sidecall_call_get_f64(call.get(), last, column.index, &number, err);
    } else {
      int64_t number = 0;
      status = sidecall_call_get_i64(call.get(), last, column.index, &number, err);
    }
    column.view = SIDECALL_VIEW_INIT;
    if (status == SIDECALL_OK)
      status = sidecall_call_output(call.get(), column.spec->output, &column.view, err);
    if (status != SIDECALL_OK) return status;
    column.width = column.view.rank < 2 ? 1 : column.view.dims[1];
  }
  return SIDECALL_OK;
}

void Answers::append(const RowCall& call, int64_t at, const RowSource& source, int64_t kept_at,
                     std::string* out) const {
  append_kept(source, kept_at, out);
  const bool is_json = to_ == TextFormat::kJson;
  bool is_first = rows_.keep.empty();
  for (const auto& column : columns_) {
    if (is_json) {
      // After kept values the record already has its opening brace, so write a comma instead.
      const bool opens = column.before.front() == '{' && !rows_.keep.empty();
      if (opens) *out += ',', out->append(column.before, 1);
      else *out += column.before;
    } else if (!is_first) {
      *out += ',';
    }
    is_first = false;
    append_value(call, at, column, out);
  }
  *out += is_json ? after_ : "\n";
}

void Answers::append_nothing(const RowSource& source, int64_t kept_at, bool has_kept,
                             std::string* out) const {
  if (to_ == TextFormat::kJson) {
    *out += "null\n";
    return;
  }
  const bool is_after_kept = has_kept && !rows_.keep.empty();
  if (is_after_kept) append_kept(source, kept_at, out);
  const size_t fields = columns_.size() + (is_after_kept ? 0 : rows_.keep.size());
  out->append(is_after_kept ? fields : fields - 1, ',');
  // Quote a single empty field, because an empty line would not be read as a row.
  *out += fields == 1 && !is_after_kept ? "\"\"\n" : "\n";
}

void Answers::append_kept(const RowSource& source, int64_t kept_at, std::string* out) const {
  for (size_t i = 0; i < rows_.keep.size(); ++i) {
    const std::string_view raw = source.kept(kept_at, i);
    if (to_ == TextFormat::kCsv) {
      if (i > 0) *out += ',';
      if (from_ == TextFormat::kCsv) out->append(raw);
      else append_kept_json_as_field(raw, out);
      continue;
    }
    *out += i == 0 ? '{' : ',';
    append_json_string(rows_.keep[i], out);
    *out += ':';
    if (from_ == TextFormat::kCsv) append_kept_field_as_json(raw, out);
    else out->append(raw.empty() ? "null" : raw);
  }
}

void Answers::append_string(std::string_view text, std::string* out) const {
  if (to_ == TextFormat::kJson) append_json_string(text, out);
  else append_csv_field(text, out);
}

void Answers::append_value(const RowCall& call, int64_t at, const Column& column,
                           std::string* out) const {
  const int64_t element = at * column.width + column.spec->column;
  const auto* data = static_cast<const char*>(column.view.data);
  if (column.spec->dtype == SIDECALL_DTYPE_STRING) {
    const int64_t* offsets = column.view.offsets;
    return append_string(
        {data + offsets[element], static_cast<size_t>(offsets[element + 1] - offsets[element])},
        out);
  }
  if (!is_floating(column.spec->dtype)) {
    int64_t integer = 0;
    sidecall_call_get_i64(call.get(), at, column.index, &integer, nullptr);
    *out += column.spec->dtype == SIDECALL_DTYPE_BOOL ? (integer != 0 ? "true" : "false")
                                                      : std::to_string(integer);
    return;
  }
  double number = 0;
  if (column.output_dtype == SIDECALL_DTYPE_FLOAT32) {
    float narrow = 0;
    std::memcpy(&narrow, data + element * static_cast<int64_t>(sizeof narrow), sizeof narrow);
    number = static_cast<double>(narrow);
  } else {
    sidecall_call_get_f64(call.get(), at, column.index, &number, nullptr);
  }
  // Neither format can represent NaN or infinities.
  if (std::isfinite(number)) append_number(number, out);
  else if (to_ == TextFormat::kJson) *out += "null";
}

}  // namespace sidecall::cli
