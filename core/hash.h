// Hashes for tables whose keys a stranger may choose: names, classes and allowed values of a contract. Their seed is random in each
// process, so a stranger cannot prepare keys that share a bucket and make a table as slow as a list.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sidecall {

struct SeededHash {
  size_t operator()(std::string_view text) const noexcept;
  size_t operator()(double number) const noexcept;
};

}  // namespace sidecall
