// Converts values that are copied from rows to answers, if the two have different formats; used by
// answers.cpp.
#pragma once

#include <string>
#include <string_view>

namespace sidecall::cli {

// Appends a CSV field as JSON: a string, or null for an empty field without quotes. CSV has no
// types, so 007 becomes the string "007".
void append_kept_field_as_json(std::string_view raw, std::string* out);

// Appends a JSON value as a CSV field: a string as its text, null as an empty field, lists and
// records as JSON.
void append_kept_json_as_field(std::string_view raw, std::string* out);

}  // namespace sidecall::cli
