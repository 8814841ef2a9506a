// Records as JSON text: reads one record or a list of records, and writes the answers in the same
// form.
#pragma once

#include <string>
#include <string_view>

#include "call.h"

namespace sidecall {

// Counts the records of a JSON text: 1 for an object, the objects in an array, 0 for an empty
// array. For any other text the result is only an estimate. It is at most the number of opening
// braces in the text, or 1 if there are none.
int64_t count_records(std::string_view json);

// Reads records. A reader is kept together with its call, so that the memory of both is reused.
class RecordReader {
 public:
  // Sets the call's features from the text. The call must have count_records() rows and must have
  // been cleared. The call remembers faults of values. Throws INVALID_JSON, DTYPE_MISMATCH (not a
  // record).
  void read(std::string_view json, Call* call);

 private:
  std::string text_;           // a copy, which the parser modifies in place
  std::vector<int64_t> seen_;  // by feature: the row where its key was last seen
};

// Appends the answers of the call's last run, as a list or as the single record.
void write_records(Call* call, bool as_list, std::string* out);

}  // namespace sidecall
