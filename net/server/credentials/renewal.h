// Reads tokens and certificates again while a server runs, and logs the results. Used by
// server.cpp.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "net/server/router.h"

namespace sidecall::net {

class Renewal {
 public:
  // Logs the number of tokens, and when the certificate expires.
  explicit Renewal(ServerContext* server);
  ~Renewal();
  Renewal(const Renewal&) = delete;
  Renewal& operator=(const Renewal&) = delete;

  // Starts a thread, which looks at the files once a second. Does nothing if the server has no
  // files, or if the thread was started before. Throws std::system_error.
  void start();

 private:
  enum class Level : int32_t { kInfo = 1, kWarning = 2, kError = 3 };

  void run() noexcept;
  void check();
  // Returns whether the files were read.
  bool renew(Renewed* files, const char* failure_event);
  void log_tokens() const;
  void log_certificate();
  // Logs if the certificate expires soon: once a day, and whenever the next limit (30, 7, 1 and 0
  // days) is reached.
  void warn_of_expiry();
  void log(Level level, const char* event, const std::string& more_facts) const;

  ServerContext& server_;
  int urgency_ = 0;        // of the last warning
  int64_t warned_at_ = 0;  // in seconds since 1970
  std::mutex mutex_;       // guards the rest
  std::condition_variable changed_;
  bool should_end_ = false;
  std::thread thread_;
};

}  // namespace sidecall::net
