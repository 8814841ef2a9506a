// Hashes for tables whose keys an untrusted party may choose: names, classes and allowed values of
// a contract, and contents of files. The seed is random in each process. So an attacker cannot
// prepare keys that share a bucket, which would make look-ups linear, or that have the same hash.
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
