// Values that are copied from rows into answers, across formats. Used by answers.cpp.
#pragma once

#include <string>
#include <string_view>

namespace sidecall::cli {

// A CSV field as JSON: a string, or null for an empty one without quotes. CSV has no types, so "007" stays what it is.
void append_kept_field_as_json(std::string_view raw, std::string* out);

// A JSON value as a CSV field: strings by their text, null empty, lists and records as JSON.
void append_kept_json_as_field(std::string_view raw, std::string* out);

}  // namespace sidecall::cli
