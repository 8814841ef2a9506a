// The JSON body: writes numbers with std::to_chars and reads answers with RapidJSON's reader.
#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <charconv>
#include <stdexcept>

#include "body.h"

namespace bench {
namespace {

// Reads {"label": [1], "probabilities": [[0.2, 0.8]]} and the answer to a record, {"label":
// "Gentoo", "probabilities": {"Adelie": 0.0}}, whose keys may have any order.
class AnswerReader : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, AnswerReader> {
 public:
  AnswerReader(const Workload& workload, Answer& answer) : workload_(workload), answer_(answer) {}

  bool StartObject() {
    if (++depth_ == 2) {
      member_base_ = answer_.numbers.size();
      answer_.numbers.resize(
          member_base_ + static_cast<size_t>(output_ == nullptr ? 0 : output_->row_values), -1.0F);
    }
    return depth_ <= 2;
  }
  bool EndObject(rapidjson::SizeType) {
    --depth_;
    return true;
  }
  bool Key(const char* text, rapidjson::SizeType length, bool) {
    const std::string_view name(text, length);
    if (depth_ == 2) {
      member_ = workload_.class_of(name);
      return member_ >= 0;
    }
    output_ = nullptr;
    for (const Output& output : workload_.outputs) {
      if (output.name == name) output_ = &output;
    }
    return output_ != nullptr;  // an error object is not an answer
  }
  bool String(const char* text, rapidjson::SizeType length, bool) {
    answer_.label.assign(text, length);
    return output_ != nullptr && output_->is_label();
  }
  bool Int(int value) { return Int64(value); }
  bool Uint(unsigned value) { return Int64(value); }
  bool Uint64(uint64_t value) { return Double(static_cast<double>(value)); }
  bool Int64(int64_t value) {
    if (output_ == nullptr || !output_->is_label()) return Double(static_cast<double>(value));
    answer_.labels.push_back(value);
    return true;
  }
  bool Double(double value) {
    if (output_ == nullptr || output_->is_label()) return false;
    if (depth_ == 2)
      answer_.numbers[member_base_ + static_cast<size_t>(member_)] = static_cast<float>(value);
    else answer_.numbers.push_back(static_cast<float>(value));
    return true;
  }
  bool Null() { return false; }
  bool Bool(bool) { return false; }

 private:
  const Workload& workload_;
  Answer& answer_;
  const Output* output_ = nullptr;
  int depth_ = 0;
  size_t member_base_ = 0;
  int64_t member_ = 0;
};

class JsonBody : public Body {
 public:
  JsonBody(const Workload& workload, int64_t rows) : workload_(workload), dims_{rows} {
    dims_.insert(dims_.end(), workload.input_dims.begin(), workload.input_dims.end());
  }

  void encode(int64_t first_row, std::string& request) override {
    if (workload_.is_record) {
      write_record(workload_.record(first_row), request);
      return;
    }
    request += "{\"" + workload_.input_name + "\": ";
    const float* values = workload_.row(first_row);
    write_values(values, 0, request);
    request += '}';
  }

  void decode(std::string& response, Answer& answer) override {
    AnswerReader reader(workload_, answer);
    const std::string said = response.substr(0, 200);  // the parser overwrites the text
    rapidjson::InsituStringStream stream(response.data());
    rapidjson::Reader parser;
    const auto result = parser.Parse<rapidjson::kParseInsituFlag>(stream, reader);
    if (result.IsError()) throw std::runtime_error("body json: expected an answer, got " + said);
  }

 private:
  void write_values(const float*& values, size_t level, std::string& to) const {
    to += '[';
    for (int64_t i = 0; i < dims_[level]; ++i) {
      if (i > 0) to += ',';
      if (level + 1 < dims_.size()) {
        write_values(values, level + 1, to);
      } else {
        char digits[32];
        to.append(digits, std::to_chars(digits, digits + sizeof digits, *values++).ptr);
      }
    }
    to += ']';
  }

  void write_record(const Record& record, std::string& to) {
    buffer_.Clear();
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer_);
    writer.StartObject();
    for (const Field& field : record) {
      writer.Key(field.name.data(), static_cast<rapidjson::SizeType>(field.name.size()));
      if (const auto* text = std::get_if<std::string>(&field.value))
        writer.String(text->data(), static_cast<rapidjson::SizeType>(text->size()));
      else if (const auto* number = std::get_if<double>(&field.value)) writer.Double(*number);
      else writer.Null();
    }
    writer.EndObject();
    to.append(buffer_.GetString(), buffer_.GetSize());
  }

  const Workload& workload_;
  std::vector<int64_t> dims_;  // the dimension of rows comes first
  rapidjson::StringBuffer buffer_;
};

}  // namespace

std::unique_ptr<Body> make_json_body(const Workload& workload, int64_t rows) {
  return std::make_unique<JsonBody>(workload, rows);
}

}  // namespace bench
