// What the clients for HTTP and gRPC share; see client.h.
#include "client.h"

#include <fcntl.h>
#include <sidecall/sidecall.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "net/client/transfer/loop.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxTokenBytes = 65536;
constexpr std::chrono::seconds kGrace{1};  // for further servers after the first answer
constexpr std::chrono::milliseconds kLook{10};
constexpr std::chrono::seconds kDescribeAtMost{5};
constexpr const char* kNoRoom =
    "expected answers of at most 1 GiB for one model and 2 GiB for this process at the same time, "
    "got more: send fewer rows at once";
constexpr const char* kNoAnswer = "expected an answer in time, got none";

// Whether another attempt after this error may find a server.
bool may_start(int32_t status) {
  return status == SIDECALL_UNREACHABLE || status == SIDECALL_TIMEOUT ||
         status == SIDECALL_PEER_DIED;
}

bool is_same_tensors(const std::vector<TensorSpec>& some, const std::vector<TensorSpec>& others) {
  return some.size() == others.size() && std::equal(some.begin(), some.end(), others.begin(),
                                                    [](const TensorSpec& a, const TensorSpec& b) {
                                                      return a.name == b.name &&
                                                             a.dtype == b.dtype && a.dims == b.dims;
                                                    });
}

// Accepts only a regular file, because reading a pipe or a device could block the caller.
class File {
 public:
  explicit File(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat status{};
    is_plain_ = fd_ >= 0 && fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_plain() const { return is_plain_; }

  std::string read(size_t most) const {
    std::string text(most, '\0');
    size_t length = 0;
    while (is_plain_ && length < most) {
      const ssize_t got = ::read(fd_, text.data() + length, most - length);
      if (got <= 0) break;
      length += static_cast<size_t>(got);
    }
    text.resize(length);
    return text;
  }

 private:
  const int fd_;
  bool is_plain_ = false;
};

// The token is read for each request, so that a file that is replaced takes effect at once.
std::string read_token(const std::string& path) {
  std::string token = File(path).read(kMaxTokenBytes + 1);
  token.resize(token.find_last_not_of(" \t\r\n") + 1);
  const bool is_valid =
      !token.empty() && token.size() <= kMaxTokenBytes &&
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!is_valid)
    throw Error(SIDECALL_DENIED,
                std::string("token: expected a file with one line of visible ASCII, got ") +
                    (token.empty()                   ? "a file that is empty or cannot be read"
                     : token.size() > kMaxTokenBytes ? "a longer line"
                                                     : "other characters"));
  return token;
}

void require_file(const char* option, const std::string& path) {
  if (!path.empty() && !File(path).is_plain())
    throw Error(SIDECALL_FILE_NOT_FOUND,
                std::string("uri: ") + option + ": expected a file that can be read, got none");
}

}  // namespace

std::unique_ptr<Client> make_client(const std::string& uri) {
  auto address = std::make_shared<const Address>(read_address(uri));
  require_file("ca", address->ca);
  require_file("cert", address->cert);
  require_file("key", address->key);
  const Protocol protocol = address->protocol;
  return protocol == Protocol::kHttp ? make_http_client(std::move(address))
                                     : make_grpc_client(std::move(address));
}

Client::Client(std::shared_ptr<const Address> address)
    : address_(std::move(address)), replicas_(std::make_shared<Replicas>(address_)) {}

// ---- Metadata ----

// Waits until all servers have answered. After the first answer, the others have one more second: a
// host that does not answer must not delay opening the model.
void Client::wait_for_answers(const Asked& asked, Clock::time_point deadline) {
  Clock::time_point until = deadline;
  for (;;) {
    std::shared_ptr<Exchange> open;
    bool has_answer = false;
    for (const auto& exchange : asked) {
      if (exchange == nullptr) continue;
      if (!exchange->wait(Clock::time_point())) open = exchange;
      else if (exchange->reply().transfer == Transfer::kAnswered) has_answer = true;
    }
    if (has_answer && until == deadline) until = std::min(deadline, Clock::now() + kGrace);
    if (open == nullptr || Clock::now() >= until) return;
    wait(open.get(), asked.size() == 1 ? until : std::min(until, Clock::now() + kLook));
  }
}

const Metadata& Client::describe(Clock::time_point deadline) {
  replicas_->resolve(deadline);
  const std::vector<ReplicaPtr> asked = replicas_->unverified();
  const std::vector<std::optional<Error>> failures = describe_all(asked, deadline);
  if (is_described_) return opened_;
  if (asked.empty()) fail(SIDECALL_UNREACHABLE, "expected an address, got none", "");
  if (asked.size() == 1) throw Error(*failures.front());
  std::string problems;
  int32_t status = failures.front()->status();
  for (size_t i = 0; i < asked.size(); ++i) {
    // The labels of all texts are the same.
    const std::string text = std::string(failures[i]->what()).substr(address_->label.size() + 2);
    problems += (i == 0 ? "" : "; ") + asked[i]->label + ": " + text;
    // The caller may wait for a server that is not there yet, whatever the others say.
    if (may_start(failures[i]->status()) && !may_start(status)) status = failures[i]->status();
  }
  fail(status, "expected a server that has the model, got none", problems);
}

void Client::describe_again(Clock::time_point deadline) {
  describe_all(replicas_->due(), std::min(deadline, Clock::now() + kDescribeAtMost));
}

// Asks the servers for their metadata, and returns the error of each server that failed.
std::vector<std::optional<Error>> Client::describe_all(const std::vector<ReplicaPtr>& asked,
                                                       Clock::time_point deadline) {
  std::vector<std::optional<Error>> failures(asked.size());
  Asked exchanges(asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    try {
      exchanges[i] = make_ready(deadline);
      exchanges[i]->only = asked[i];
      submit(exchanges[i]);
    } catch (const Error& error) {  // the file with the token
      exchanges[i] = nullptr;
      failures[i] = error;
    }
  }
  wait_for_answers(exchanges, deadline);
  for (size_t i = 0; i < asked.size(); ++i) {
    // A server that stops answering must not take the time of the others.
    const Clock::time_point until =
        asked.size() == 1 ? deadline : std::min(deadline, Clock::now() + kDescribeAtMost);
    try {
      if (failures[i]) throw Error(*failures[i]);
      if (!exchanges[i]->wait(Clock::time_point())) {
        cancel(exchanges[i]);
        fail(SIDECALL_TIMEOUT, kNoAnswer, "");
      }
      require_ready(exchanges[i]->reply());
      take_metadata(asked[i], read_metadata(asked[i], until));
    } catch (const Error& error) {
      const bool has_answered = exchanges[i] != nullptr &&
                                exchanges[i]->wait(Clock::time_point()) &&
                                exchanges[i]->reply().transfer == Transfer::kAnswered;
      replicas_->set_checked(asked[i], Replica::State::kUnchecked, has_answered);
      failures[i] = error;
    }
  }
  return failures;
}

void Client::take_metadata(const ReplicaPtr& replica, Metadata metadata) {
  const bool is_same = !is_described_ || (metadata.form.is_binary == opened_.form.is_binary &&
                                          metadata.form.has_nulls == opened_.form.has_nulls &&
                                          is_same_tensors(metadata.inputs, opened_.inputs) &&
                                          is_same_tensors(metadata.outputs, opened_.outputs));
  const bool fits = is_same && replicas_->is_opened_model(metadata.model_id);
  if (fits && !is_described_) {
    opened_ = std::move(metadata);
    is_described_ = true;
  }
  replicas_->set_checked(replica, fits ? Replica::State::kDescribed : Replica::State::kOtherModel);
}

void Client::fail_with_other_model() const {
  fail(SIDECALL_CONTRACT_CHANGED,
       "the server now has another model than the one that was opened: open the model again", "");
}

// ---- Exchanges ----

std::shared_ptr<Exchange> Client::make_exchange(const std::string& path, Clock::time_point deadline,
                                                uint64_t max_answer_bytes) const {
  auto exchange = std::make_shared<Exchange>();
  exchange->address = address_;
  exchange->deadline = deadline;
  exchange->max_answer_bytes = max_answer_bytes;
  exchange->share = share_;
  exchange->path = address_->prefix + path;
  if (!address_->token.empty()) exchange->token = read_token(address_->token);
  return exchange;
}

Reply Client::finish(const std::shared_ptr<Exchange>& exchange) {
  submit_and_drive(exchange);
  if (!wait(exchange.get(), exchange->deadline)) {
    cancel(exchange);
    throw Error(SIDECALL_TIMEOUT, exchange->address->label + ": " + kNoAnswer);
  }
  return std::move(exchange->reply());
}

void Client::fail(int32_t status, const std::string& what, const std::string& text) const {
  throw Error(status, address_->label + ": " + what + (text.empty() ? "" : ": " + text));
}

void Client::require_answer(const Reply& reply) const {
  switch (reply.transfer) {
    case Transfer::kAnswered:
      return;
    case Transfer::kUnreachable:
      fail(SIDECALL_UNREACHABLE, "the server cannot be reached", reply.problem);
    case Transfer::kBroken:
      fail(SIDECALL_PEER_DIED, "the connection ended before the answer", reply.problem);
    case Transfer::kTimedOut:
      fail(SIDECALL_TIMEOUT, kNoAnswer, "");
    case Transfer::kOtherModel:
      fail_with_other_model();
    case Transfer::kInvalid:
      fail(SIDECALL_PROTOCOL, "expected an answer in HTTP", reply.problem);
    case Transfer::kTooLarge:
      fail(SIDECALL_PROTOCOL, reply.problem, "check the address, or send fewer rows in one run");
    case Transfer::kNoRoom:
      fail(SIDECALL_OUT_OF_MEMORY, kNoRoom, "");
    case Transfer::kNoMemory:
      break;
  }
  fail(SIDECALL_OUT_OF_MEMORY, "out of memory", "");
}

}  // namespace sidecall::net
