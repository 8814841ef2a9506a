// Reads a workload's folder and checks answers.
#include "workload.h"

#include <rapidjson/document.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace bench {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("workload: cannot read '" + path + "'");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

template <class Element>
std::vector<Element> read_elements(const std::string& path, int64_t count) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("workload: cannot read '" + path + "'");
  const int64_t found = static_cast<int64_t>(file.tellg()) / static_cast<int64_t>(sizeof(Element));
  if (found < count)
    throw std::runtime_error(path + ": expected " + std::to_string(count) + " values, got " +
                             std::to_string(found));
  std::vector<Element> values(static_cast<size_t>(found));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(Element)));
  return values;
}

int64_t product(const rapidjson::Value& dims) {
  int64_t count = 1;
  for (const auto& dim : dims.GetArray()) count *= dim.GetInt64();
  return count;
}

Record read_record(const rapidjson::Value& object) {
  Record record;
  for (const auto& member : object.GetObject()) {
    Field field{member.name.GetString(), {}};
    if (member.value.IsNumber()) field.value = member.value.GetDouble();
    if (member.value.IsString()) field.value = std::string(member.value.GetString());
    record.push_back(std::move(field));
  }
  return record;
}

std::vector<Record> read_records(const std::string& path) {
  std::vector<Record> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    rapidjson::Document document;
    if (document.Parse(line.c_str()).HasParseError() || !document.IsObject())
      throw std::runtime_error(path + ": expected one JSON object per line, got none in line " +
                               std::to_string(records.size() + 1));
    records.push_back(read_record(document));
  }
  return records;
}

void read_description(const rapidjson::Document& from, Workload& to) {
  to.name = from["name"].GetString();
  to.is_record = std::string_view(from["kind"].GetString()) == "record";
  to.ring = from["ring"].GetInt64();
  to.max_rows = from["max_rows"].GetInt64();
  to.tolerance = from["tolerance"].GetDouble();
  if (!to.is_record) {
    to.input_name = from["input"]["name"].GetString();
    to.row_values = product(from["input"]["dims"]);
    for (const auto& dim : from["input"]["dims"].GetArray())
      to.input_dims.push_back(dim.GetInt64());
  }
  for (const auto& one : from["outputs"].GetArray()) {
    to.outputs.push_back({one["name"].GetString(), one["dtype"].GetString(), product(one["dims"])});
    if (to.outputs.back().is_label()) to.has_label = true;
  }
  if (!from.HasMember("classes") || !from["classes"].IsArray()) return;
  for (const auto& one : from["classes"].GetArray()) {
    if (one.IsInt64()) to.class_numbers.push_back(one.GetInt64());
    to.class_names.push_back(one.IsString() ? one.GetString() : std::to_string(one.GetInt64()));
  }
}

}  // namespace

int64_t Workload::class_of(std::string_view class_name) const {
  for (size_t i = 0; i < class_names.size(); ++i) {
    if (class_names[i] == class_name) return static_cast<int64_t>(i);
  }
  return -1;
}

bool Workload::is_right(int64_t first, int64_t rows, const Answer& answer) const {
  if (static_cast<int64_t>(answer.numbers.size()) != rows * num_numbers) return false;
  const double* wanted = expected.data() + first * num_numbers;
  for (size_t i = 0; i < answer.numbers.size(); ++i) {
    if (!(std::abs(static_cast<double>(answer.numbers[i]) - wanted[i]) <= tolerance))
      return false;  // NaN is wrong too
  }
  if (!has_label) return true;
  if (is_record) {
    const int64_t label = labels[static_cast<size_t>(first)];
    return label < 0 ? class_of(answer.label) >= 0
                     : class_names[static_cast<size_t>(label)] == answer.label;
  }
  if (static_cast<int64_t>(answer.labels.size()) != rows) return false;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t label = labels[static_cast<size_t>(first + i)];
    if (label >= 0 &&
        class_numbers[static_cast<size_t>(label)] != answer.labels[static_cast<size_t>(i)])
      return false;
  }
  return true;
}

std::vector<double> load_expected(const std::string& path, int64_t count) {
  return read_elements<double>(path, count);
}

Workload load_workload(const std::string& folder) {
  Workload workload;
  workload.folder = folder;
  rapidjson::Document description;
  if (description.Parse(read_file(folder + "/workload.json").c_str()).HasParseError() ||
      !description.IsObject())
    throw std::runtime_error("workload.json: expected a JSON object");
  read_description(description, workload);
  for (const Output& output : workload.outputs) {
    if (!output.is_label()) workload.num_numbers += output.row_values;
  }
  // A record call takes one row. A tensor call that starts at the end of the ring continues after
  // it.
  const int64_t rows = workload.is_record ? workload.ring : workload.ring + workload.max_rows;
  if (workload.is_record) {
    workload.records = read_records(folder + "/records.jsonl");
    if (static_cast<int64_t>(workload.records.size()) < rows)
      throw std::runtime_error("records.jsonl: expected at least 'ring' lines (workload.json)");
  } else {
    workload.input = read_elements<float>(folder + "/input.f32", rows * workload.row_values);
  }
  workload.expected = load_expected(folder + "/expected.f64", rows * workload.num_numbers);
  workload.labels = read_elements<int64_t>(folder + "/labels.i64", rows);
  if (workload.has_label && !workload.is_record && workload.class_numbers.empty())
    throw std::runtime_error("workload.json: expected numbers as classes of a tensor's label");
  return workload;
}

}  // namespace bench
