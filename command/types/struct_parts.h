// What the writers of Go, Rust and Java share: fields with names of their own, and what is said
// about them.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "record_types.h"

namespace sidecall::structs {

// The type of the values of a feature or column, in all three languages.
enum class Kind {
  kFloat,
  kInt,
  kBool,
  kText,
  kInstant,    // a datetime with a time zone
  kWallClock,  // a datetime without one
  kNone        // no binding reads values of this type one by one
};

struct Field {
  std::string name;  // an identifier, unique in its struct
  std::string key;   // the name of the feature or column
  std::string about;
  std::string unit;  // of a datetime that cannot be as fine as the clock: "s", "ms" or "us"
  Kind kind = Kind::kNone;
  bool is_nullable = false;
  int32_t form = 0;  // of an output: SIDECALL_FORM_*
};

// Makes an identifier of the words of a name; it may return one that is taken or reserved.
using MakeName = std::string (*)(std::string_view words);

// The fields of a record. Names in `reserved` get an underscore at their end.
std::vector<Field> feature_fields(const RecordTypes& types, MakeName make_name,
                                  const std::set<std::string, std::less<>>& reserved);

// The fields of an answer: one for each output, or one for each column.
std::vector<Field> output_fields(const RecordTypes& types, MakeName make_name,
                                 const std::set<std::string, std::less<>>& reserved);
std::vector<Field> column_fields(const RecordTypes& types, MakeName make_name,
                                 const std::set<std::string, std::less<>>& reserved);

// "fraud model" becomes FraudModel, fraudModel and fraud_model; a name without letters becomes
// Field, field and field.
std::string pascal_case(std::string_view words);
std::string camel_case(std::string_view words);
std::string snake_case(std::string_view words);

// Lines about the model and about the source, each after `prefix`. Throws NO_CONTRACT if there are
// no records.
std::string header(const RecordTypes& types, std::string_view language, const std::string& prefix);

// A sentence that follows `about` and says with which code a finer time becomes a value of a
// datetime feature that counts s, ms or us. Empty if the feature is as fine as the clock.
std::string truncation(const Field& field, const char* in_s, const char* in_ms, const char* in_us);

// A line of a comment.
std::string comment(const std::string& text, const std::string& prefix);

}  // namespace sidecall::structs
