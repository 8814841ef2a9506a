// A server for tests of the client, written from shm/PROTOCOL.md. It sends and stores what a test
// tells it to, valid or not.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "shm/client/client.h"
#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/socket.h"
#include "shm/common/table.h"

namespace raw {

using namespace sidecall::shm;
using sidecall::TensorSpec;

constexpr int64_t kSecond = 1000 * 1000 * 1000;
constexpr int64_t kMillisecond = 1000 * 1000;
inline const std::string kSignature =
    R"({"inputs": [{"name": "x", "dtype": "float32", "dims": [-1, 2]}], "outputs": [{"name": "y", "dtype": "float32", "dims": [-1]}]})"
    "\n";
inline const std::string kModelId(64, 'a');

// The outputs that the client expects: y, one float32 per row.
inline std::vector<TensorSpec> outputs() { return {{"y", SIDECALL_DTYPE_FLOAT32, {-1}}}; }

// A temporary folder for a socket, removed with everything in it.
class Folder {
 public:
  Folder() {
    path_ = "/tmp/sidecall-test-" + std::string(6, 'X');
    if (!mkdtemp(path_.data())) throw std::runtime_error("no folder");
  }
  ~Folder() { std::system(("rm -rf " + path_).c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Runs `work` on a second thread, which join() or the destructor joins. Keeps the message of an
// exception.
class BackgroundThread {
 public:
  explicit BackgroundThread(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          try {
            work();
          } catch (const std::exception& error) {
            failure_ = error.what();
          }
        }) {}
  ~BackgroundThread() { join(); }
  // Returns "" if the work succeeded, otherwise the message of its exception.
  std::string join() {
    if (thread_.joinable()) thread_.join();
    return failure_;
  }

 private:
  std::string failure_;
  std::thread thread_;
};

template <typename Message>
Message with_magic() {
  Message message{};
  std::memcpy(message.magic, kMagic, sizeof kMagic);
  return message;
}

inline Welcome welcome_to(const Hello& hello) {
  auto welcome = with_magic<Welcome>();
  welcome.version = kVersion;
  welcome.kind = kWelcome;
  welcome.flags = kVerified;
  welcome.slots = hello.slots;
  welcome.request_bytes = align_up(hello.request_bytes, kPage);
  welcome.response_bytes = align_up(hello.response_bytes, kPage);
  welcome.max_request_bytes = welcome.max_response_bytes = 1 << 20;
  std::memset(welcome.signature_digest, 7, sizeof welcome.signature_digest);
  std::memcpy(welcome.model_id, kModelId.data(), sizeof welcome.model_id);
  return welcome;
}

inline std::string manifest(const std::string& signature, const std::string& contract) {
  const uint64_t parts[2] = {signature.size(), contract.size()};
  return std::string(reinterpret_cast<const char*>(parts), sizeof parts) + signature + contract;
}

// The server end of one connection.
struct Peer {
  Socket socket;
  Hello hello{};
  Segment request, response;
  uint64_t sequence = 0;  // of the last request that was taken
  uint64_t rung = 0;
  uint64_t sleeping = 0;

  void send(const void* message, size_t bytes, std::vector<int> fds = {}) {
    if (socket.send(message, bytes, fds.data(), fds.size()) != Sent::kDone)
      throw std::runtime_error("the client did not take a message");
  }

  void read_hello() {
    const Received received = socket.receive(&hello, sizeof hello, Deadline::after(5 * kSecond));
    if (received.kind != Received::kMessage || received.bytes != sizeof hello)
      throw std::runtime_error("no HELLO came");
  }

  void make_segments(const Welcome& welcome) {
    request = make_request_segment(segment_bytes(welcome.slots, welcome.request_bytes));
    response = make_response_segment(segment_bytes(welcome.slots, welcome.response_bytes));
  }

  // Sends the complete valid answer to CONNECT.
  void grant(Welcome welcome) {
    make_segments(welcome);
    send(&welcome, sizeof welcome, {request.file.get(), response.file.get()});
  }

  Head* request_head() { return reinterpret_cast<Head*>(request.memory.data()); }
  Head* response_head() { return reinterpret_cast<Head*>(response.memory.data()); }
  RequestEntry* request_entry() {
    return reinterpret_cast<RequestEntry*>(request.memory.data() + sizeof(Head));
  }
  ResponseEntry* response_entry() {
    return reinterpret_cast<ResponseEntry*>(response.memory.data() + sizeof(Head));
  }
  unsigned char* request_slot() { return request.memory.data() + head_bytes(1); }
  unsigned char* response_slot() { return response.memory.data() + head_bytes(1); }

  // Waits for the next request by sleeping on the socket. Returns false if the client hung up
  // instead.
  bool await_request() {
    while (true) {
      response_head()->sleeping.store(++sleeping, std::memory_order_seq_cst);
      if (request_entry()->sequence.load(std::memory_order_seq_cst) == sequence + 1) return true;
      char byte;
      if (socket.receive(&byte, 1, Deadline::after(10 * kSecond)).kind != Received::kMessage)
        return false;
    }
  }

  void take() { response_head()->mark.store(++sequence, std::memory_order_seq_cst); }

  bool next() {
    if (!await_request()) return false;
    take();
    return true;
  }

  // Writes the right answer, y[i] = x[i, 0] + x[i, 1], and the table of the slot.
  void write_answer(unsigned char* slot) {
    TensorEntry x;
    std::memcpy(&x, request_slot(), sizeof x);
    const auto* values = reinterpret_cast<const float*>(request_slot() + x.offset);
    std::vector<Tensor> tensors(1);
    tensors[0].dtype = SIDECALL_DTYPE_FLOAT32;
    tensors[0].rank = 1;
    tensors[0].dims[0] = x.dims[0];
    tensors[0].bytes = static_cast<uint64_t>(x.dims[0]) * sizeof(float);
    place(&tensors);
    write_entry(slot, 0, tensors[0]);
    auto* answers = reinterpret_cast<float*>(slot + tensors[0].offset);
    for (int64_t row = 0; row < x.dims[0]; ++row)
      answers[row] = values[2 * row] + values[2 * row + 1];
  }

  void publish(ResponseFields fields = {}) {
    response_entry()->fields = fields;
    response_entry()->sequence.store(sequence, std::memory_order_seq_cst);
    const uint64_t asleep = request_head()->sleeping.load(std::memory_order_seq_cst);
    if (asleep == rung) return;
    rung = asleep;
    socket.ring();
  }

  void answer(ResponseFields fields = {}) {
    write_answer(response_slot());
    publish(fields);
  }

  void fail(int32_t status, const std::string& message) {
    ErrorRecord record{};
    record.status = status;
    record.row = -1;
    std::memcpy(record.message, message.data(), message.size());
    std::memcpy(response_slot(), &record, sizeof record);
    ResponseFields fields{};
    fields.status = status;
    publish(fields);
  }

  void serve(int requests) {
    for (int i = 0; i < requests && next(); ++i) answer();
  }
};

class Server {
 public:
  Server() { listen(); }

  std::string address() const { return folder_.path() + "/raw.sock"; }

  void listen() {
    unlink(address().c_str());
    listener_ = Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path, address().data(), address().size());
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
        ::listen(listener_.get(), 8) != 0)
      throw std::runtime_error("no listener");
  }
  void stop() { listener_.reset(); }
  int listener() const { return listener_.get(); }

  Peer accept() {
    const int fd = listener_.get();
    if (!wait_readable(&fd, 1, Deadline::after(5 * kSecond)))
      throw std::runtime_error("no client connected");
    Peer peer;
    peer.socket = Socket(Fd(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC)));
    return peer;
  }

  // Answers each OPEN until a client sends CONNECT. The HELLO of the returned peer has been read.
  Peer accept_connect(const std::string& contract = {}) {
    while (true) {
      Peer peer = accept();
      peer.read_hello();
      if (peer.hello.kind == kConnect) return peer;
      open(peer, contract);
    }
  }

  Peer accept_honest() {
    Peer peer = accept_connect();
    peer.grant(welcome_to(peer.hello));
    return peer;
  }

  static void open(Peer& peer, const std::string& contract = {}) {
    Welcome welcome = welcome_to(peer.hello);
    welcome.request_bytes = welcome.response_bytes = 0;
    const std::string text = manifest(kSignature, contract);
    welcome.manifest_bytes = text.size();
    if (!contract.empty()) welcome.flags |= kHasContract;
    const Fd file = make_sealed_file(text);
    peer.send(&welcome, sizeof welcome, {file.get()});
  }

 private:
  Folder folder_;
  Fd listener_;
};

// The client side.

inline std::unique_ptr<Client> open_client(const Server& server, ClientOptions options = {}) {
  auto client = std::make_unique<Client>(make_socket_endpoint(server.address()), options);
  client->set_outputs(outputs());
  return client;
}

// Writes one request of `rows` rows: x[i] = {i, 1}.
inline void write_request(Channel& channel, int64_t rows) {
  std::vector<Tensor> tensors(1);
  tensors[0].dtype = SIDECALL_DTYPE_FLOAT32;
  tensors[0].rank = 2;
  tensors[0].dims[0] = rows;
  tensors[0].dims[1] = 2;
  tensors[0].bytes = static_cast<uint64_t>(rows) * 2 * sizeof(float);
  place(&tensors);
  write_entry(channel.request(), 0, tensors[0]);
  auto* values = reinterpret_cast<float*>(channel.request() + tensors[0].offset);
  for (int64_t row = 0; row < rows; ++row) {
    values[2 * row] = static_cast<float>(row);
    values[2 * row + 1] = 1;
  }
}

inline bool is_right(const Answer& answer, int64_t rows) {
  const Tensor& y = answer.tensors->at(0);
  if (y.rank != 1 || y.dims[0] != rows) return false;
  for (int64_t row = 0; row < rows; ++row) {
    float value;
    std::memcpy(&value, answer.slot + y.offset + sizeof value * static_cast<size_t>(row),
                sizeof value);
    if (value != static_cast<float>(row + 1)) return false;
  }
  return true;
}

// A client with a channel, and the server end of that channel.
struct Pair {
  Server server;
  std::unique_ptr<Client> client;
  std::unique_ptr<Channel> channel;
  Peer peer;

  explicit Pair(const ClientOptions& options = {}) {
    BackgroundThread accepting([this] { peer = server.accept_honest(); });
    client = open_client(server, options);
    channel = client->borrow(1, 1, Deadline::after(5 * kSecond));
    if (!accepting.join().empty()) throw std::runtime_error("no pair");
    write_request(*channel, 3);
  }

  Outcome run(int64_t timeout_ns = 5 * kSecond, bool same_layout = false) {
    channel->publish(same_layout, timeout_ns);
    return channel->wait();
  }
};

// Waits for the outcome of a request that was published with kInQueue, as a queue does. Looks for a
// cancel every 5 ms, because a queue is told of it in another way.
inline Outcome await_in_queue(Channel* channel) {
  static uint64_t number = 0;
  ++number;
  const Fd set(epoll_create1(EPOLL_CLOEXEC));
  const int fd = set.get();
  const Deadline end = Deadline::after(20 * kSecond);
  while (true) {
    const Outcome outcome = channel->poll();
    if (outcome != Outcome::kPending) return outcome;
    if (end.passed()) throw std::runtime_error("no outcome");
    const Deadline next = channel->prepare_sleep(fd, number);
    wait_readable(&fd, 1, Deadline::earlier(next, Deadline::after(5 * kMillisecond)));
    epoll_event event{};
    epoll_wait(fd, &event, 1, 0);
  }
}

// The same for a request that was published with `awaited`.
inline Outcome await_outcome(Channel* channel, Awaited awaited) {
  return awaited == Awaited::kInQueue ? await_in_queue(channel) : channel->wait();
}

// The status of the error that `work` throws; 0 if it throws none.
inline int32_t status_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.status;
  }
  return SIDECALL_OK;
}

inline int count_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

}  // namespace raw
