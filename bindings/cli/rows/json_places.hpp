// Where in a line of JSON a fault stands; only looked for once there is one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// A line without the blanks around it.
std::string_view trimmed(std::string_view line);

// Bytes of the string literal in front of a JSON text.
size_t literal_length(std::string_view text);

// The byte of the line that a message about its text means; what the message says of it is taken off.
size_t place_of_problem(std::string_view line, std::string* message);

// Where the values of a record begin, by key.
class JsonPlaces {
 public:
  explicit JsonPlaces(std::string_view line);

  size_t of(std::string_view name) const;  // the record's own place where it has no such key
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
