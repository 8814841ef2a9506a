// Finds the place of a fault in a line of JSON; used by json_lines.cpp, only after a fault was
// found.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// Returns the line without spaces and tabs at both ends.
std::string_view trimmed(std::string_view line);

// Returns the length in bytes of the string literal at the beginning of a JSON text.
size_t literal_length(std::string_view text);

// Returns the offset in the line that an error message of the library refers to, and removes the
// offset from the message.
size_t place_of_problem(std::string_view line, std::string* message);

// The offsets in a line at which the values of a record begin, by key.
class JsonPlaces {
 public:
  explicit JsonPlaces(std::string_view line);

  size_t of(std::string_view name) const;  // the place of the record if it has no such key
  size_t of_record() const { return record_; }

 private:
  struct Handler;
  struct Member {
    std::string name;
    size_t place;
  };

  size_t record_;
  std::vector<Member> members_;
};

}  // namespace sidecall::cli
