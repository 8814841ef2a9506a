// Records as JSON text: a record or a list of them in, the same out.
#pragma once

#include <string>
#include <string_view>

#include "call.h"

namespace sidecall {

// Counts the records of a JSON text: 1 for an object, the objects in an array, 0 for an empty array. Only an estimate where the text is
// no list of records; then too it asks for no more rows than the text has braces.
int64_t count_records(std::string_view json);

// Reads records; kept with a call, because its memory is worth keeping too.
class RecordReader {
 public:
  // Sets the call's features from the text; the call has count_records rows and was cleared. Faults of values are
  // remembered by the call. Throws INVALID_JSON, DTYPE_MISMATCH (no record), OUT_OF_RANGE.
  void read(std::string_view json, Call* call);

 private:
  std::string text_;           // a copy, which the parser takes apart in place
  std::vector<int64_t> seen_;  // by feature: the row where its key was last seen
};

// Appends the answers of the call's last run: a list, or the one record.
void write_records(Call* call, bool as_list, std::string* out);

}  // namespace sidecall
