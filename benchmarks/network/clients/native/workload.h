// A workload's folder in memory, and whether an answer is right. Used by everything in this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bench {

// One key of a record; monostate where the value is missing.
struct Field {
  std::string name;
  std::variant<std::monostate, double, std::string> value;
};
using Record = std::vector<Field>;

struct Output {
  std::string name;
  std::string dtype;
  int64_t row_values = 1;  // how many it has for one row
  bool is_label() const { return dtype == "int64" || dtype == "string"; }
};

// What a caller has in hand when a call is over.
struct Answer {
  std::vector<float> numbers;   // row by row
  std::vector<int64_t> labels;  // a row each, for models with a label
  std::string label;            // of a record

  void clear() {
    numbers.clear();
    labels.clear();
    label.clear();
  }
};

struct Workload {
  std::string folder;
  std::string name;
  bool is_record = false;
  int64_t ring = 0;  // calls start at rows 0 to ring - 1
  int64_t max_rows = 1;
  double tolerance = 0;
  std::string input_name;
  std::vector<int64_t> input_dims;  // without the rows
  int64_t row_values = 0;           // of the input
  std::vector<Output> outputs;
  std::vector<std::string> class_names;
  std::vector<int64_t> class_numbers;  // the same where labels are numbers
  int64_t num_numbers = 0;             // expected for each row
  bool has_label = false;

  std::vector<float> input;
  std::vector<Record> records;
  std::vector<double> expected;
  std::vector<int64_t> labels;  // an index of class_names, -1 where any will do

  const float* row(int64_t first) const { return input.data() + first * row_values; }
  const Record& record(int64_t first) const { return records[static_cast<size_t>(first)]; }
  int64_t class_of(std::string_view class_name) const;  // -1 where there is none

  bool is_right(int64_t first, int64_t rows, const Answer& answer) const;
};

// Reads clients/README.md's files. Throws std::runtime_error.
Workload load_workload(const std::string& folder);

// All values of a file of numbers; throws where there are not at least `count`.
std::vector<double> load_expected(const std::string& path, int64_t count);

}  // namespace bench
