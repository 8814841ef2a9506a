// Connections that were granted and whose memory is being created. Each of them becomes one of the
// Connections or is refused. Used by the control thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "connections.h"
#include "shm/server/accepting/accepted.h"
#include "shm/server/accepting/admission.h"
#include "shm/server/accepting/introduction.h"
#include "shm/server/accepting/refusals.h"

namespace sidecall::shm {

class Drafts {
 public:
  // `drain`: which connections drain. Those are refused.
  Drafts(const ServerContext* context, const Introduction* introduction,
         const std::atomic<Drain>* drain, TaskQueue* tasks, Quotas* quotas, Refusals* refusals,
         Connections* connections)
      : context_(context),
        introduction_(introduction),
        drain_(drain),
        tasks_(tasks),
        quotas_(quotas),
        refusals_(refusals),
        connections_(connections) {}

  void add(uint64_t id, Accepted accepted, const Grant& grant);
  // Tries again to reserve memory for the connections that wait for it. It is due at
  // retry_due_ns(), which is INT64_MAX if no connection waits.
  void retry(int64_t now);
  int64_t retry_due_ns() const noexcept {
    return short_of_memory_.empty() ? INT64_MAX : next_retry_ns_;
  }
  // Completes the connections whose large memory has been created. TaskQueue::wake() announces
  // them.
  void finish_large() noexcept;
  // Waits until no memory is being created. The control thread has ended before.
  void close() noexcept { making_.finish(); }

 private:
  struct Draft {
    uint64_t id;
    Accepted accepted;
    Grant grant;
    Reservation memory;
    int64_t deadline_ns;  // until when to wait for memory that other connections give back
    bool is_counted = false;
    std::unique_ptr<ServerConnection> connection;
    std::string failure;
    std::atomic<bool> is_made{false};  // making_ has set `connection` or `failure`
  };

  uint64_t memory_of(const Grant& grant) const;
  bool reserve_memory(Draft* draft);
  bool may_wait_for_memory(const Draft& draft) const;
  void make_connection(const std::shared_ptr<Draft>& draft);
  void make_next_large(uint32_t user) noexcept;
  void make_memory(Draft* draft) noexcept;  // may run on any thread
  void finish(Draft* draft);
  template <typename Step>
  void advance(Draft* draft, const Step& step) noexcept;
  void refuse(Draft* draft, int32_t status, const std::string& text);

  const ServerContext* const context_;
  const Introduction* const introduction_;
  const std::atomic<Drain>* const drain_;
  TaskQueue* const tasks_;
  Quotas* const quotas_;
  Refusals* const refusals_;
  Connections* const connections_;

  std::vector<std::shared_ptr<Draft>> short_of_memory_;
  int64_t next_retry_ns_ = 0;
  // By user: connections whose large memory is created by making_, one at a time.
  std::map<uint32_t, std::deque<std::shared_ptr<Draft>>> large_;
  TaskThread making_;
};

}  // namespace sidecall::shm
