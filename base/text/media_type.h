// Compares the type in a Content-Type header (RFC 9110, section 8.3), without its parameters.
#pragma once

#include <algorithm>
#include <string_view>

namespace sidecall {

// Whether a header names this type, which is in lower case. A header without a type names "".
inline bool is_media_type(std::string_view header, std::string_view type) noexcept {
  constexpr std::string_view kSpace = " \t";
  header = header.substr(0, header.find(';'));
  header.remove_prefix(std::min(header.find_first_not_of(kSpace), header.size()));
  header = header.substr(0, header.find_last_not_of(kSpace) + 1);
  const auto is_same = [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  };
  return std::equal(header.begin(), header.end(), type.begin(), type.end(), is_same);
}

}  // namespace sidecall
