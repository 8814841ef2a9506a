// The two threads of a supervisor and what they share. supervisor.cpp has the functions that other
// threads call and the workers, accept.cpp what becomes of a new connection.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "peek.h"
#include "shm/server/admission.h"
#include "shm/server/event_log.h"
#include "shm/server/listener.h"
#include "status.h"
#include "supervisor.h"

namespace sidecall::shm {

class Supervisor::Impl {
 public:
  Impl(std::string address, ServerOptions options);
  ~Impl();

  // As in supervisor.h.
  Fd add(int32_t number);
  void remove(int32_t number) noexcept;
  int32_t num_ready() const;
  bool listen(Deadline deadline);
  std::string status();

 private:
  struct Worker {
    Socket control;
    bool is_ready = false;
    uint64_t connections = 0;
  };
  struct Waiting {  // for its first message
    Fd fd;
    uint32_t user;
    bool is_admitted;
    Deadline deadline;
  };
  struct Question {
    int32_t worker;
    Socket socket;
  };
  // What an event is about: the upper half of its number; a worker's number or a descriptor is the
  // lower one.
  static constexpr uint64_t kWake = UINT64_C(1) << 32, kListener = UINT64_C(2) << 32,
                            kWorker = UINT64_C(3) << 32, kHello = UINT64_C(4) << 32;

  void watch(int fd, uint64_t about);
  void end_threads();
  void wake() noexcept;
  int32_t count_ready() const;  // with mutex_ held
  void refuse(Socket socket, int32_t status, const char* text);
  void refuse_all(std::deque<Fd>& fds);

  // ---- The control thread: supervisor.cpp ----
  void control();
  // A failure of one connection, or a shortage of memory or watches, must not end the address.
  template <typename Body>
  void attend(Body body) noexcept {
    try {
      body();
    } catch (const std::exception& error) {
      log_.add(LogLevel::kError, "supervisor.failed", Facts().text("reason", error.what()).take());
    }
  }
  int wait_ms();
  void handle(uint64_t about);
  void hear(int32_t number);
  void hand_over_held();
  bool hand_over(int fd);

  // ---- The answering thread: supervisor.cpp ----
  void answer();

  // ---- The control thread: accept.cpp ----
  void accept_some(int listener);
  void admit(Fd fd);
  void make_room();
  void drop_silent(std::list<Waiting>::iterator one);
  void drop_late();
  bool greet(int number);
  bool greet(std::list<Waiting>::iterator one);
  void answer_hello(Waiting one, Peeked first);
  uint64_t count_connections() const;  // with mutex_ held

  const int64_t started_ns_ = now_ns();
  const std::string address_;
  const ServerOptions options_;
  const Admission admission_;
  EventLog log_;
  const Fd epoll_, wake_;
  std::atomic<uint64_t> refused_{0}, violations_{0};
  std::atomic<size_t> num_waiting_{0};

  std::mutex status_mutex_;  // taken before mutex_
  CounterMemory counted_;

  // The control thread holds it for moments only, never while it accepts: others must get it while
  // connections flood in.
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // a worker became ready, a question came, the end
  bool is_closing_ = false;
  Listener listener_;
  std::map<int32_t, Worker> workers_;
  std::deque<Fd> held_;  // connections for a worker
  std::deque<Fd> questions_;

  // The control thread's own.
  std::list<Waiting> waiting_;  // the oldest first
  int paused_listener_ = -1;    // it is not watched for a moment
  std::thread control_thread_, answer_thread_;
};

}  // namespace sidecall::shm
