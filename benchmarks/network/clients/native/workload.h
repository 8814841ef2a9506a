// A workload's folder in memory, and the check of answers. Used by everything in this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bench {

// One key of a record; the value is monostate if it is missing.
struct Field {
  std::string name;
  std::variant<std::monostate, double, std::string> value;
};
using Record = std::vector<Field>;

struct Output {
  std::string name;
  std::string dtype;
  int64_t row_values = 1;  // number of values for one row
  bool is_label() const { return dtype == "int64" || dtype == "string"; }
};

// The data that a caller has when a call is over.
struct Answer {
  std::vector<float> numbers;   // row by row
  std::vector<int64_t> labels;  // one per row, for models with a label
  std::string label;            // for a record

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
  std::vector<int64_t> input_dims;  // without the dimension of rows
  int64_t row_values = 0;           // values of the input for one row
  std::vector<Output> outputs;
  std::vector<std::string> class_names;
  std::vector<int64_t> class_numbers;  // the classes as numbers, if labels are numbers
  int64_t num_numbers = 0;             // number of expected values per row
  bool has_label = false;

  std::vector<float> input;
  std::vector<Record> records;
  std::vector<double> expected;
  std::vector<int64_t> labels;  // an index of class_names, -1 if any label is accepted

  const float* row(int64_t first) const { return input.data() + first * row_values; }
  const Record& record(int64_t first) const { return records[static_cast<size_t>(first)]; }
  int64_t class_of(std::string_view class_name) const;  // -1 if there is no such class

  bool is_right(int64_t first, int64_t rows, const Answer& answer) const;
};

// Reads the files that clients/README.md describes. Throws std::runtime_error.
Workload load_workload(const std::string& folder);

// All values of a file of numbers; throws if there are fewer than `count`.
std::vector<double> load_expected(const std::string& path, int64_t count);

}  // namespace bench
