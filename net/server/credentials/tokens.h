// The tokens of a server. A client needs one of them. Used by access.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "renewed.h"
#include "watched_files.h"

namespace sidecall::net {

// The tokens of a file. Only its present contents count. If the file has no tokens, or cannot be
// read completely, has() is false for every token.
class Tokens final : public Renewed {
 public:
  // Throws INVALID_ARGUMENT if the file cannot be read.
  explicit Tokens(const std::string& path);

  bool has(const std::string& token) const;
  size_t count() const;
  bool renew() override;

 private:
  // Only digests are kept. Each is that of a random salt and a token, so that the time of a search
  // tells nothing about the token.
  using Digest = std::array<unsigned char, 32>;
  using Set = std::vector<Digest>;  // sorted

  Set read() const;
  Digest digest_of(const std::string& token) const;
  void take(Set tokens);  // read() has returned them
  void set(std::shared_ptr<const Set> tokens);

  const std::string path_;
  std::array<unsigned char, 32> random_{};
  WatchedFiles files_;
  // The last version that was read completely, and its tokens.
  FileVersion taken_;
  std::shared_ptr<const Set> taken_tokens_ = std::make_shared<const Set>();
  mutable std::mutex mutex_;  // guards the rest
  std::shared_ptr<const Set> tokens_;
};

}  // namespace sidecall::net
