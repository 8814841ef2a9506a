// Sends HELLO and checks the server's answer; see handshake.h.
#include "handshake.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text/utf8.h"
#include "shm/common/error.h"
#include "shm/common/fault.h"
#include "shm/common/table.h"

namespace sidecall::shm {
namespace {

constexpr int64_t kFirstPause = 2 * 1000 * 1000;
constexpr int64_t kLongestPause = 50 * 1000 * 1000;
// The longest pause if the server exists but cannot accept yet, or is being started.
constexpr int64_t kLongestPauseForReady = 10 * 1000 * 1000;
constexpr int64_t kLookAtStop = 20 * 1000 * 1000;

// A server may round up what it grants, but it must not decide how much of our address space and
// memory it takes.
bool is_fair_grant(uint64_t granted, uint64_t wanted) {
  return granted >= std::max(wanted, kPage) && granted % kPage == 0 &&
         granted / 2 <= wanted + (UINT64_C(1) << 19);
}

template <typename Message>
Message message_as(const char* buffer) {
  Message message;
  std::memcpy(&message, buffer, sizeof message);
  return message;
}

Hello hello_for(const ConnectionRequest& request) {
  Hello hello{};
  std::memcpy(hello.magic, kMagic, sizeof kMagic);
  hello.version_min = hello.version_max = kVersion;
  hello.kind = request.kind;
  hello.slots = request.slots;
  hello.request_bytes = request.request_bytes;
  hello.response_bytes = request.response_bytes;
  return hello;
}

bool is_worth_retrying(int32_t status) {
  return status == SIDECALL_BUSY || status == SIDECALL_UNREACHABLE;
}

Error refusal(const std::string& label, const char* buffer, size_t bytes) {
  const auto refused = message_as<Refused>(buffer);
  const std::string text(buffer + sizeof refused, bytes - sizeof refused);
  const bool is_status = refused.status == SIDECALL_PROTOCOL || refused.status == SIDECALL_DENIED ||
                         refused.status == SIDECALL_OUT_OF_RANGE ||
                         refused.status == SIDECALL_OUT_OF_MEMORY ||
                         is_worth_retrying(refused.status);
  if (refused.text_bytes != text.size() || text.size() > kMaxRefusal || refused.zero != 0 ||
      !is_status || !is_utf8_without_nul(text) || std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < ' ';
      }))
    violation("its refusal of the connection is malformed");
  return Error(refused.status, "'" + label + "': refused by the server: " + text);
}

bool is_model_id(const char (&id)[64]) {
  const bool is_none = std::all_of(id, id + sizeof id, [](char c) { return c == '\0'; });
  return is_none || std::all_of(id, id + sizeof id, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void check_welcome(const Welcome& welcome, const ConnectionRequest& request) {
  if (welcome.version != kVersion || welcome.zero0 != 0 || welcome.slots != request.slots ||
      !is_model_id(welcome.model_id))
    violation("its WELCOME is malformed");
  const bool is_granted = request.kind == kConnect
                              ? is_fair_grant(welcome.request_bytes, request.request_bytes) &&
                                    is_fair_grant(welcome.response_bytes, request.response_bytes) &&
                                    welcome.manifest_bytes == 0
                              : welcome.request_bytes == 0 && welcome.response_bytes == 0;
  if (!is_granted) violation("it granted other sizes than were requested");
}

// A descriptor that is not a pidfd could become readable although the server lives, or could never
// become readable. For a process in another PID namespace the kernel answers EINVAL.
void check_pidfd(int fd) {
  if (syscall(SYS_pidfd_send_signal, fd, 0, nullptr, 0) != 0 && errno != EPERM && errno != ESRCH &&
      errno != EINVAL)
    violation("it sent a descriptor that is not a pidfd");
}

void take_descriptors(Received* received, const ConnectionRequest& request,
                      Connection* connection) {
  size_t next = 0;
  const auto take = [&](Fd* into) {
    if (next >= received->num_fds) violation("its message lacks a descriptor");
    *into = std::move(received->fds[next++]);
  };
  if (request.kind == kStatus) {
    take(&connection->status);
  } else if (request.kind == kOpen) {
    take(&connection->manifest);
  } else {
    take(&connection->request);
    take(&connection->response);
  }
  if (request.kind != kStatus && (connection->welcome.flags & kHasPidfd) != 0) {
    take(&connection->pidfd);
    check_pidfd(connection->pidfd.get());
  }
  if (next != received->num_fds) violation("it sent a descriptor that was not requested");
}

// Throws the Error of a refusal, PROTOCOL, OUT_OF_MEMORY.
void read_answer(const std::string& label, const char* buffer, Received* received,
                 const ConnectionRequest& request, Connection* connection) {
  if (received->lacks_descriptors)
    no_descriptor_left("'" + label + "': the server's message cannot be received");
  if (received->is_cut || received->bytes < sizeof(Refused) ||
      std::memcmp(buffer, kMagic, sizeof kMagic) != 0)
    violation("its answer to the handshake is not that of a sidecall server");
  const auto start = message_as<Refused>(buffer);
  if (start.kind == kRefused) {
    if (received->num_fds != 0) violation("it sent a descriptor that was not requested");
    throw refusal(label, buffer, received->bytes);
  }
  if (start.kind == kWelcome && received->bytes == sizeof(Welcome) && request.kind != kStatus) {
    connection->welcome = message_as<Welcome>(buffer);
    check_welcome(connection->welcome, request);
  } else if (start.kind == kStatusAnswer && received->bytes == sizeof(FileMessage) &&
             request.kind == kStatus) {
    const auto message = message_as<FileMessage>(buffer);
    if (message.version != kVersion || message.zero != 0 || message.second != 0)
      violation("its status is malformed");
    connection->status_bytes = message.first;
  } else {
    violation("its answer to the handshake does not match the request");
  }
  take_descriptors(received, request, connection);
}

}  // namespace

Handshake::Handshake(Endpoint& endpoint, const ConnectionRequest& request, Deadline retry_until,
                     Deadline deadline, int64_t answer_ns)
    : endpoint_(endpoint),
      request_(request),
      retry_until_(retry_until),
      deadline_(deadline),
      dial_until_(
          Deadline::earlier(deadline, Deadline::later(retry_until, Deadline::after(answer_ns)))),
      answer_ns_(answer_ns),
      pause_ns_(kFirstPause) {}

bool Handshake::step() {
  while (true) {
    bool is_hang_up = false;
    try {
      return (connection_.socket || dial()) && read(&is_hang_up);
    } catch (const Error& error) {
      connection_ = Connection();
      if (!tries_again(error, is_hang_up)) throw;
    }
  }
}

bool Handshake::dial() {
  if (!pause_until_.passed()) return false;
  Error not_yet(SIDECALL_TIMEOUT, "");
  connection_.socket = endpoint_.connect(deadline_, &started_, &not_yet);
  if (!connection_.socket) {
    if (dial_until_.passed()) throw Error(std::move(not_yet));
    pause(dial_until_, kLongestPauseForReady);
    return false;
  }
  answer_by_ = Deadline::earlier(deadline_, Deadline::after(answer_ns_));
  const Hello hello = hello_for(request_);
  // This may fail if the server has already sent a refusal and closed the connection.
  connection_.socket.send(&hello, sizeof hello);
  fault_point("client.hello");
  return true;
}

bool Handshake::read(bool* is_hang_up) {
  char buffer[sizeof(Refused) + kMaxRefusal + 1];
  Received received = connection_.socket.receive(buffer, sizeof buffer);
  if (received.kind == Received::kNothing) {
    if (!answer_by_.passed()) return false;
    throw Error(SIDECALL_TIMEOUT, "'" + endpoint_.label() +
                                      "': the server did not answer the handshake in time" +
                                      endpoint_.exit_text(Deadline::after(0)));
  }
  *is_hang_up = received.kind != Received::kMessage;
  if (*is_hang_up)
    throw Error(SIDECALL_UNREACHABLE, "'" + endpoint_.label() +
                                          "': the server disconnected during the handshake" +
                                          endpoint_.exit_text(deadline_));
  read_answer(endpoint_.label(), buffer, &received, request_, &connection_);
  fault_point("client.welcomed");
  return true;
}

bool Handshake::tries_again(const Error& error, bool is_hang_up) {
  if (is_hang_up) ++num_hang_ups_;
  const bool has_successor = error.status == SIDECALL_UNREACHABLE &&
                             endpoint_.has_successor(is_hang_up ? num_hang_ups_ : 0, deadline_);
  if (!is_worth_retrying(error.status) || deadline_.passed()) return false;
  if (has_successor) return true;
  if (retry_until_.passed() || !endpoint_.may_still_appear()) return false;
  pause(Deadline::earlier(retry_until_, deadline_), kLongestPause);
  return true;
}

void Handshake::pause(Deadline end, int64_t longest_ns) {
  pause_ns_ = std::min(pause_ns_, longest_ns);
  pause_until_ = Deadline::earlier(Deadline::after(pause_ns_), end);
  pause_ns_ *= 2;
}

Connection run_handshake(Endpoint& endpoint, const ConnectionRequest& request, Deadline retry_until,
                         Deadline deadline, int64_t answer_ns, const std::atomic<bool>* stop) {
  Handshake handshake(endpoint, request, retry_until, deadline, answer_ns);
  while (!handshake.step()) {
    // Relaxed: only a hint, which is read again in each round.
    if (stop != nullptr && stop->load(std::memory_order_relaxed))
      throw Error(SIDECALL_CANCELLED, "the run was cancelled");
    const int fd = handshake.fd();
    wait_readable(&fd, 1,
                  stop == nullptr
                      ? handshake.next()
                      : Deadline::earlier(handshake.next(), Deadline::after(kLookAtStop)));
  }
  return handshake.take();
}

std::string model_id_of(const Welcome& welcome) {
  return welcome.model_id[0] == '\0' ? std::string()
                                     : std::string(welcome.model_id, sizeof welcome.model_id);
}

}  // namespace sidecall::shm
