// Hashes for tables whose keys an untrusted party may choose: names, classes and allowed values of
// a contract. The seed is random in each process. So an attacker cannot prepare keys that share a
// bucket, which would make look-ups linear.
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
