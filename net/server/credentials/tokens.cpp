// Reads files with tokens; see tokens.h.
#include "tokens.h"

#include <mbedtls/sha256.h>
#include <sidecall/sidecall.h>
#include <sys/random.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "net/common/error.h"
#include "whole_file.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxFileBytes = size_t{16} * 1024 * 1024;
constexpr size_t kMaxTokenBytes = 8192;  // about as much as a header may have
// A token without a line feed after it may be cut off. If this many characters of it are left, it
// still cannot be guessed.
constexpr size_t kLeastUnendedBytes = 16;

[[noreturn]] void refuse(const std::string& expected, const std::string& got) {
  throw Error(SIDECALL_INVALID_ARGUMENT, "tokens: expected " + expected + ", got " + got);
}

bool is_visible(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

Tokens::Tokens(const std::string& path) : path_(path), files_({path}) {
  if (::getrandom(random_.data(), random_.size(), 0) != static_cast<ssize_t>(random_.size()))
    throw Error(SIDECALL_INTERNAL, "server: the system has no random numbers");
  take(read());
}

bool Tokens::has(const std::string& token) const {
  std::shared_ptr<const Set> tokens;
  {
    const std::lock_guard lock(mutex_);
    tokens = tokens_;
  }
  return std::binary_search(tokens->begin(), tokens->end(), digest_of(token));
}

size_t Tokens::count() const {
  const std::lock_guard lock(mutex_);
  return tokens_->size();
}

bool Tokens::renew() {
  if (!files_.is_due()) return false;
  try {
    Set tokens = read();
    if (!files_.is_unchanged()) return false;
    take(std::move(tokens));
  } catch (const std::exception&) {
    if (!files_.is_unchanged()) return false;
    files_.note_failure();
    set(std::make_shared<const Set>());
    throw;
  }
  return true;
}

void Tokens::take(Set tokens) {
  taken_tokens_ = std::make_shared<const Set>(std::move(tokens));
  set(taken_tokens_);
  taken_ = files_.seen(0);
  files_.note_read();
}

void Tokens::set(std::shared_ptr<const Set> tokens) {
  const std::lock_guard lock(mutex_);
  tokens_.swap(tokens);
}

Tokens::Digest Tokens::digest_of(const std::string& token) const {
  Digest digest{};
  mbedtls_sha256_context context;
  mbedtls_sha256_init(&context);
  mbedtls_sha256_starts(&context, 0);
  mbedtls_sha256_update(&context, random_.data(), random_.size());
  mbedtls_sha256_update(&context, reinterpret_cast<const unsigned char*>(token.data()),
                        token.size());
  mbedtls_sha256_finish(&context, digest.data());
  mbedtls_sha256_free(&context);
  return digest;
}

Tokens::Set Tokens::read() const {
  const std::string text =
      read_whole(path_, "tokens", "a file with one token in each line", kMaxFileBytes);
  Set tokens;
  bool is_last_ended = true;
  std::string last;
  size_t number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    std::string line = text.substr(start, end - start);
    line.resize(line.find_last_not_of(" \t\r") + 1);
    start = end + 1;
    ++number;
    if (line.empty() || line.front() == '#') continue;
    if (line.size() > kMaxTokenBytes)
      refuse("tokens of at most " + std::to_string(kMaxTokenBytes) + " bytes",
             "a longer one in line " + std::to_string(number));
    if (!is_visible(line))
      refuse("one token of visible ASCII in each line",
             "other characters in line " + std::to_string(number));
    tokens.push_back(digest_of(line));
    is_last_ended = end < text.size();
    last = std::move(line);
  }
  if (text.find('\0') != std::string::npos) refuse("text without NUL", "a NUL");
  // A file that is only half written has no line feed at its end. Many secrets of Kubernetes have
  // none either, but they hold one token and are never written in place. The comparison of tokens
  // is needed because chmod, touch or a hard link change only the version of a file.
  const bool is_in_place = files_.seen(0).is_same_file(taken_);
  const bool may_be_cut = is_in_place && tokens != *taken_tokens_;
  if (!is_last_ended && (tokens.size() != 1 || last.size() < kLeastUnendedBytes || may_be_cut))
    refuse("a line feed after the last token",
           "none, so the token may be cut off: add one; only a single token of at least " +
               std::to_string(kLeastUnendedBytes) +
               " characters, in a file that was not written in place, needs none");
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

}  // namespace sidecall::net
