// Parses numbers and quotes CSV fields; see text.hpp.
#include "text.hpp"

namespace sidecall::cli {

void append_csv_field(std::string_view text, std::string* out) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos && !text.empty()) {
    out->append(text);
    return;
  }
  out->push_back('"');
  for (const char c : text) {
    if (c == '"') out->push_back('"');
    out->push_back(c);
  }
  out->push_back('"');
}

Number parse_number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("+-.0123456789eE") != std::string_view::npos)
    return {Number::Kind::kNone, 0, 0};
  return read_number(text);
}

}  // namespace sidecall::cli
