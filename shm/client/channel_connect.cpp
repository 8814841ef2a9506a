// Connects a channel to its memory, and maps the memory of the next server at the same addresses
// when it reconnects.
#include <algorithm>
#include <cstring>

#include "channel.h"
#include "shm/common/fault.h"

namespace sidecall::shm {

Channel::State::State(std::shared_ptr<Client::Shared> client, uint64_t wanted_request,
                      uint64_t wanted_response)
    : shared(std::move(client)), request_bytes(wanted_request), response_bytes(wanted_response) {}

Channel::State::~State() {
  if (!is_counted || fork.is_forked()) return;
  const std::lock_guard guard(shared->lock);
  count_as_borrowed(false);
}

void Channel::State::count_as_borrowed(bool is_borrowed) noexcept {
  if (is_counted == is_borrowed) return;
  if (is_borrowed) {
    try {
      ++shared->borrowed[instance];
    } catch (...) {
      return;  // without memory; the count only decides which channel is taken next
    }
    ++shared->num_borrowed;
  } else {
    const auto found = shared->borrowed.find(instance);
    if (--found->second == 0) shared->borrowed.erase(found);
    --shared->num_borrowed;
  }
  is_counted = is_borrowed;
}

void Channel::State::prepare() {
  request = Mapping::of_zeroes(head_bytes(1) + request_bytes);
  keeps_addresses = true;
  granted = response_bytes;
}

void Channel::State::connect(Deadline deadline, const std::atomic<bool>* stop) {
  const ConnectionRequest wanted{kConnect, 1, request_bytes, response_bytes};
  const ClientOptions& options = shared->options;
  adopt(run_handshake(*shared->endpoint, wanted, Deadline::after(options.wait_ns), deadline,
                      options.timeout_ns, stop));
}

bool Channel::State::reconnect() {
  drop();
  const ConnectionRequest wanted{kConnect, 1, request_bytes, response_bytes};
  handshake.emplace(*shared->endpoint, wanted, Deadline::after(shared->options.wait_ns), deadline(),
                    shared->options.timeout_ns);
  return go_on_connecting();
}

bool Channel::State::go_on_connecting() {
  if (!handshake->step()) return false;
  Connection fresh = handshake->take();
  handshake.reset();
  adopt(std::move(fresh));
  return true;
}

void Channel::State::adopt(Connection connection) {
  const Welcome& welcome = connection.welcome;
  if (std::memcmp(welcome.signature_digest, shared->digest, sizeof welcome.signature_digest) != 0)
    throw Error(SIDECALL_CONTRACT_CHANGED,
                "'" + shared->endpoint->label() +
                    "': the server now serves another signature: open the model again");
  check_file(connection.request.get(), Kind::kRequest, segment_bytes(1, welcome.request_bytes));
  check_file(connection.response.get(), Kind::kResponse, segment_bytes(1, welcome.response_bytes));
  // Map only the part of REQUEST that we shall write, so that the size of the mapping does not
  // depend on the server.
  const auto map = [this](const Fd& file, uint64_t bytes, bool writable) {
    return keeps_addresses ? Mapping::separate(file.get(), bytes, writable)
                           : Mapping::of(file.get(), bytes, writable);
  };
  adopt_request(map(connection.request, head_bytes(1) + request_bytes, true));
  adopt_response(map(connection.response, segment_bytes(1, welcome.response_bytes), false));
  granted = welcome.response_bytes;
  socket = std::move(connection.socket);
  pidfd = std::move(connection.pidfd);
  pid.reset();
  joined_set = 0;
  sequence = sleeping = rung = 0;
  peer_cpu = 0;
  layout_sent = may_be_same = is_table_known = false;
  {
    const std::lock_guard guard(shared->lock);
    shared->model_id = model_id_of(welcome);
    count_as_borrowed(false);
    instance = welcome.instance;
    count_as_borrowed(true);
  }
  fault_point("client.connected");
}

// Copies only the caller's inputs into the new memory. The head and the ring of the new memory
// start with zeros.
void Channel::State::adopt_request(Mapping fresh) {
  if (!request) {
    request = std::move(fresh);
    return;
  }
  std::memcpy(fresh.data() + head_bytes(1), request_slot(), request_bytes);
  request.replace(std::move(fresh));
}

void Channel::State::adopt_response(Mapping fresh) {
  if (response && response.bytes() == fresh.bytes()) {
    response.replace(std::move(fresh));
    return;
  }
  if (response) {
    response.replace_by_zeroes();
    retired.push_back(std::move(response));
  }
  response = std::move(fresh);
}

void Channel::State::drop() noexcept {
  handshake.reset();
  socket.close();
  pidfd.reset();
  joined_set = 0;
  is_pending = is_given_up = false;
  one_shot_file = OneShotFile();
}

}  // namespace sidecall::shm
