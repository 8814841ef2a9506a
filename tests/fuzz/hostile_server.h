// A server that answers as the input of a fuzzer says. It runs in the client's thread, so it must
// put its messages into the socket and its answers into the shared memory before the client looks
// for them. Used by the targets `manifest` and `answer`, in which it replaces the endpoint of
// shm/client/endpoint.cpp.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "core/contract/signature_json.h"
#include "core/error.h"
#include "frames.h"
#include "shm/client/endpoint.h"
#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/table.h"

namespace fuzz {

namespace shm = sidecall::shm;

constexpr uint64_t kRequestSlot = 16384, kResponseSlot = 65536;

// What the server stores and sends for one answer. The frame of the answer overwrites parts of it.
struct AnswerImage {
  shm::ResponseFields fields{};
  uint64_t sequence = 0, taken = 0, sleeping = 0;
  shm::FileMessage message{};
  std::array<unsigned char, 4096> slot{};
};

// What the server sends as its answer to HELLO.
struct HandshakeImage {
  shm::Welcome welcome{};
  std::array<char, 64> more{};  // the text of a refusal, or bytes that do not belong there
};

template <typename Message>
Message with_magic(uint32_t kind) {
  Message message{};
  std::memcpy(message.magic, shm::kMagic, sizeof shm::kMagic);
  message.kind = kind;
  return message;
}

// Overwrites parts of `image`. A patch has a position of two bytes, a length of one byte, and the
// bytes.
template <typename Image>
void apply(std::string_view patches, Image* image) {
  while (patches.size() > 3) {
    const size_t at = (byte_at(patches, 0) | byte_at(patches, 1) << 8U) % sizeof *image;
    const size_t length =
        std::min<size_t>({byte_at(patches, 2), patches.size() - 3, sizeof *image - at});
    std::memcpy(reinterpret_cast<char*>(image) + at, patches.data() + 3, length);
    patches.remove_prefix(3 + length);
  }
}

// Sends a message without waiting, with any number of descriptors. Returns false if the client has
// gone, or the socket is full.
inline bool send(const shm::Socket& socket, const void* data, size_t bytes,
                 const std::vector<int>& fds) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(16 * sizeof(int))> control{};
  iovec part{const_cast<void*>(data), bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(socket.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

class Server {
 public:
  explicit Server(const std::string_view input) : frames_(split(input)) {
    status_ = std::string(take(kStatus, ""));
    // A few fixed models are enough: the target `manifest` varies the content of manifests.
    const unsigned model = byte_at(take(kModel, ""), 0) % 5;
    signature_ = model == 4 ? kNumbers : kEveryKind;
    if (model >= 1 && model <= 3) contract_ = contract(model > 1);
    is_verified_ = model != 3;
    std::vector<sidecall::TensorSpec> inputs;
    sidecall::read_signature_text(signature_.substr(0, signature_.find('\n')), "signature",
                                  SIDECALL_PROTOCOL, &inputs, &outputs_);
  }

  // The kind of HELLO that the next connection will bring.
  void expect(shm::HelloKind kind) { expected_ = kind; }
  // While the server is present, its ends of the sockets stay open. The client must not wait then.
  void set_present(bool is_present) {
    is_present_ = is_present;
    if (!is_present) sockets_.clear();
  }
  void set_rows(int64_t rows) { rows_ = std::clamp<int64_t>(rows, 0, 1 << 14); }
  // From now on the server sends these bytes as its manifest.
  void set_manifest(std::string_view bytes) {
    manifest_ = bytes;
    uint64_t contract_bytes = 0;
    if (bytes.size() >= 16) std::memcpy(&contract_bytes, bytes.data() + 8, sizeof contract_bytes);
    contract_ = contract_bytes != 0 ? "a contract" : "";
  }
  bool has_status() const { return !status_.empty(); }
  std::string_view calls() { return take(kCalls, std::string_view("\x00\x01", 2)); }

  shm::Socket connect() {
    shm::Socket client, server;
    shm::Socket::pair(&client, &server);
    const shm::HelloKind kind = std::exchange(expected_, shm::kConnect);
    const std::string_view frame = take(kHandshake, "");
    if (frame.size() > 1 && byte_at(frame, 0) % 5 == 4)
      throw shm::Error(SIDECALL_UNREACHABLE, "no server is listening");
    const bool is_sent = answer_hello(kind, frame, server);
    if (kind == shm::kConnect && !is_present_) answer(true, &server);
    // If no answer was sent, the socket is closed here. Otherwise the client would wait for one.
    if (is_present_ && is_sent) sockets_.push_back(std::move(server));
    return client;
  }

  // Sends the messages and the answer that come next in the input. `is_early`: the client has not
  // published the request yet.
  void answer(bool is_early) {
    if (is_early && response_.memory && taken_ > published()) return;  // an answer is there
    answer(is_early, sockets_.empty() ? nullptr : &sockets_.back());
  }

 private:
  static constexpr std::string_view kEveryKind =
      R"({"inputs": [{"name": "x", "dtype": "float32", "dims": [-1, 2]}, {"name": "s", "dtype": "string", "dims": [-1]}], "outputs": [{"name": "y", "dtype": "float64", "dims": [-1]}, {"name": "t", "dtype": "string", "dims": [-1]}, {"name": "b", "dtype": "bool", "dims": [-1, 2]}, {"name": "u", "dtype": "int4", "dims": null}]})"
      "\n";

  // Outputs of a model without strings may be read in place.
  static constexpr std::string_view kNumbers =
      R"({"inputs": [{"name": "x", "dtype": "float32", "dims": [-1, 2]}], "outputs": [{"name": "y", "dtype": "float64", "dims": [-1, 3]}]})"
      "\n";

  static std::string contract(bool has_golden_rows) {
    const std::string golden =
        R"(, "verification": {"source": "synthetic", "rows": 1, "features": [[1], [2], ["a"]], "outputs": {"y": [0], "t": ["a"]}, "tolerance": {"y": {"absolute": 1, "relative": 1}}})";
    return R"({"format": 5, "model": {"name": "m", "version": "1", "id": "00"}, "features": [{"name": "a", "type": "float32", "nullable": true, "input": "x", "column": 0, "missing": "nan"}, {"name": "b", "type": "float32", "nullable": true, "input": "x", "column": 1, "missing": "nan"}, {"name": "s", "type": "string", "nullable": true, "input": "s", "column": 0, "missing": {"value": "\ufdd0"}}], "outputs": [{"name": "y", "role": "prediction", "type": "float64"}, {"name": "t", "role": "label", "type": "string", "classes": ["a", "b"]}])" +
           (has_golden_rows ? golden : "") + "}";
  }

  std::string_view take(FrameKind kind, std::string_view otherwise) {
    for (size_t i = next_[kind]; i < frames_.size(); ++i) {
      if (frames_[i].kind != kind) continue;
      next_[kind] = i + 1;
      return frames_[i].contents;
    }
    next_[kind] = frames_.size();
    return otherwise;
  }

  // The frame starts with three bytes: the form of the answer, the descriptors that come with it,
  // and its length (0: the usual one). Patches follow. Returns whether an answer was sent.
  bool answer_hello(shm::HelloKind kind, std::string_view frame, const shm::Socket& socket) {
    const unsigned form = byte_at(frame, 0) % 5, files = byte_at(frame, 1);
    const size_t length = byte_at(frame, 2);
    HandshakeImage image;
    size_t bytes = sizeof image.welcome;
    if (form == 3) return false;  // the connection ends without an answer
    const std::string manifest = manifest_text();
    if (form == 1) {
      bytes = refuse(&image);
    } else if ((form == 2) != (kind == shm::kStatus)) {
      auto message = with_magic<shm::FileMessage>(shm::kStatusAnswer);
      message.version = shm::kVersion;
      message.first = status_.size();
      std::memcpy(&image.welcome, &message, sizeof message);
      bytes = sizeof message;
    } else {
      welcome(kind, files, manifest.size(), &image.welcome);
    }
    apply(frame.substr(std::min<size_t>(frame.size(), 3)), &image);
    std::vector<int> fds;
    if (form != 1) add_files(kind, files, manifest, &fds);
    if (length != 0) bytes = std::min(length, sizeof image);
    return fuzz::send(socket, &image, bytes, fds);
  }

  static size_t refuse(HandshakeImage* image) {
    constexpr std::string_view kText = "too many connections";
    auto refused = with_magic<shm::Refused>(shm::kRefused);
    refused.version_min = refused.version_max = shm::kVersion;
    refused.status = SIDECALL_BUSY;
    refused.text_bytes = kText.size();
    std::memcpy(&image->welcome, &refused, sizeof refused);
    std::memcpy(reinterpret_cast<char*>(&image->welcome) + sizeof refused, kText.data(),
                kText.size());
    return sizeof refused + kText.size();
  }

  void welcome(shm::HelloKind kind, unsigned files, uint64_t manifest_bytes,
               shm::Welcome* welcome) const {
    *welcome = with_magic<shm::Welcome>(shm::kWelcome);
    welcome->version = shm::kVersion;
    welcome->flags = (is_verified_ ? shm::kVerified : 0U) |
                     (contract_.empty() ? 0U : shm::kHasContract) |
                     ((files & 48U) != 0 ? shm::kHasPidfd : 0U);
    welcome->max_request_bytes = kRequestSlot;
    welcome->max_response_bytes = kResponseSlot;
    if (kind == shm::kConnect) {
      welcome->slots = 1;
      welcome->request_bytes = kRequestSlot;
      welcome->response_bytes = kResponseSlot;
    } else {
      welcome->manifest_bytes = manifest_bytes;
    }
  }

  std::string manifest_text() const {
    if (manifest_) return *manifest_;
    const std::array<uint64_t, 2> parts = {signature_.size(), contract_.size()};
    return std::string(reinterpret_cast<const char*>(parts.data()), sizeof parts) +
           std::string(signature_) + contract_;
  }

  // Bits 0 to 3 of `files` choose the memory files, bits 4 and 5 the pidfd.
  void add_files(shm::HelloKind kind, unsigned files, const std::string& manifest,
                 std::vector<int>* fds) {
    const unsigned choice = files & 15U;
    const auto keep = [this](shm::Fd file) {
      kept_.push_back(std::move(file));
      return kept_.back().get();
    };
    if (kind == shm::kConnect) {
      request_ = shm::make_request_segment(shm::segment_bytes(1, kRequestSlot));
      response_ = shm::make_response_segment(shm::segment_bytes(1, kResponseSlot));
      taken_ = 0;
      *fds = {request_.file.get(), response_.file.get()};
      if (choice == 1) std::swap(fds->front(), fds->back());
      if (choice == 2) fds->back() = request_.file.get();
      if (choice == 3) fds->back() = fixed_descriptors()[kNoFile];
      if (choice == 4) fds->pop_back();
      if (choice == 5) fds->push_back(request_.file.get());
    } else {
      const std::string& text = kind == shm::kStatus ? status_ : manifest;
      if (choice == 1) fds->push_back(keep(shm::make_file(text.size() + 1).file));
      else if (choice == 2) fds->push_back(keep(shm::make_sealed_file(text, "more")));
      else if (choice == 3) fds->push_back(fixed_descriptors()[kNoFile]);
      else if (choice != 4) fds->push_back(keep(shm::make_sealed_file(text)));
      if (choice == 5) fds->push_back(fixed_descriptors()[kNoFile]);
    }
    if (choice == 6) fds->insert(fds->end(), 7, fixed_descriptors()[kNoFile]);
    if (const unsigned pidfd = files >> 4U & 3U; pidfd != 0)
      fds->push_back(fixed_descriptors()[pidfd - 1]);
  }

  // A pidfd of this process, one of a process that has ended, and a descriptor of another kind.
  enum FixedDescriptor { kAlive, kEnded, kNoFile };
  static const std::array<int, 3>& fixed_descriptors() {
    static const std::array<int, 3> descriptors = [] {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      const auto ended = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
      waitpid(child, nullptr, 0);
      return std::array<int, 3>{static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)), ended,
                                open("/dev/null", O_RDWR | O_CLOEXEC)};
    }();
    return descriptors;
  }

  // The sequence number of the last request.
  uint64_t published() const {
    uint64_t sequence = 0;
    std::memcpy(&sequence, request_.memory.data() + sizeof(shm::Head), sizeof sequence);
    return sequence;
  }

  void answer(bool is_early, shm::Socket* socket) {
    if (!response_.memory) return;
    for (; at_ < frames_.size() && frames_[at_].kind != kAnswer; ++at_) {
      if (frames_[at_].kind == kMessage && socket != nullptr) send(frames_[at_].contents, socket);
    }
    answer(is_early, at_ < frames_.size() ? frames_[at_++].contents : std::string_view(), socket);
  }

  // The first byte of a message says how many descriptors come with it.
  static void send(std::string_view frame, shm::Socket* socket) {
    const std::vector<int> fds(byte_at(frame, 0) % 3, fixed_descriptors()[kNoFile]);
    if (frame.size() > 1) fuzz::send(*socket, frame.data() + 1, frame.size() - 1, fds);
  }

  // The first byte of an answer is its form: nothing, a success, a failure, a failure with a list
  // of faults, or a one-shot result. The second byte says which file comes with a one-shot result.
  void answer(bool is_early, std::string_view frame, shm::Socket* socket) {
    const unsigned form = (byte_at(frame, 0) + 1) % 5, file = byte_at(frame, 1);
    if (form == 0) return;
    static AnswerImage image;
    image = AnswerImage();
    image.sequence = image.taken = taken_ = published() + (is_early ? 1 : 0);
    const uint64_t bytes = form == 1 || form == 4 ? write_tensors(&image) : 0;
    if (form == 2 || form == 3) write_failure(form == 3, &image);
    if (form == 4) {
      image.fields.flags = shm::kOneShot;
      image.fields.one_shot_bytes = bytes;
      image.message = with_magic<shm::FileMessage>(shm::kOneShotFile);
      image.message.version = shm::kVersion;
      image.message.first = image.sequence;
      image.message.second = bytes;
    }
    apply(frame.substr(std::min<size_t>(frame.size(), 2)), &image);
    if (form == 4 && socket != nullptr) send_one_shot(image, file, bytes, socket);
    publish(image);
  }

  static void send_one_shot(const AnswerImage& image, unsigned file, uint64_t bytes,
                            shm::Socket* socket) {
    const std::string_view contents(reinterpret_cast<const char*>(image.slot.data()), bytes);
    const shm::Fd fd = file % 4 == 1 ? shm::make_file(bytes).file : shm::make_sealed_file(contents);
    const size_t num_fds = file % 4 == 2 ? 0 : file % 4 == 3 ? 2 : 1;
    fuzz::send(*socket, &image.message, sizeof image.message, std::vector<int>(num_fds, fd.get()));
  }

  void publish(const AnswerImage& image) {
    unsigned char* const memory = response_.memory.data();
    std::memcpy(memory, &image.sleeping, sizeof image.sleeping);
    std::memcpy(memory + offsetof(shm::Head, mark), &image.taken, sizeof image.taken);
    unsigned char* const entry = memory + sizeof(shm::Head);
    std::memcpy(entry + offsetof(shm::ResponseEntry, fields), &image.fields, sizeof image.fields);
    std::memcpy(memory + shm::head_bytes(1), image.slot.data(), image.slot.size());
    std::memcpy(entry, &image.sequence, sizeof image.sequence);
  }

  // Writes a right answer for the signature, if it fits into the image. Returns its size.
  uint64_t write_tensors(AnswerImage* image) const {
    std::vector<shm::Tensor> tensors(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) shape(outputs_[i], &tensors[i]);
    uint64_t end = shm::place(&tensors);
    if (end > kResponseSlot || shm::table_bytes(tensors.size()) > image->slot.size()) return 4096;
    for (size_t i = 0; i < tensors.size(); ++i) {
      shm::write_entry(image->slot.data(), i, tensors[i]);
      // The offsets of strings: all are empty but the last.
      const uint64_t last = tensors[i].offset + static_cast<uint64_t>(tensors[i].elements) * 8;
      if (tensors[i].dtype == SIDECALL_DTYPE_STRING && last + 9 <= image->slot.size()) {
        image->slot[last] = 1;
        image->slot[last + 8] = 'a';
      }
    }
    return std::clamp<uint64_t>(end, 1, image->slot.size());
  }

  void shape(const sidecall::TensorSpec& spec, shm::Tensor* tensor) const {
    tensor->dtype = spec.dtype;
    sidecall::Dims dims = spec.is_shaped ? spec.dims : sidecall::Dims{rows_};
    dims.resize(std::min<size_t>(dims.size(), shm::kMaxRank));
    for (int64_t& dim : dims) dim = dim < 0 ? rows_ : dim;
    tensor->rank = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), tensor->dims);
    if (!shm::count_elements(tensor->dims, tensor->rank, &tensor->elements)) return;
    if (spec.dtype == SIDECALL_DTYPE_STRING)
      tensor->bytes = shm::string_bytes(tensor->elements, tensor->elements > 0 ? 1 : 0);
    else if (!shm::count_bytes(spec.dtype, tensor->elements, &tensor->bytes)) tensor->bytes = 0;
    tensor->bytes = std::min<uint64_t>(tensor->bytes, UINT64_C(1) << 40);
  }

  static void write_failure(bool has_list, AnswerImage* image) {
    image->fields.status = SIDECALL_REFUSED;
    shm::ErrorRecord record{};
    record.status = SIDECALL_REFUSED;
    record.row = has_list ? 0 : -1;
    std::memcpy(record.message, "refused", 7);
    std::memcpy(image->slot.data(), &record, sizeof record);
    if (!has_list) return;
    shm::FaultTextEntry text{};
    text.status = SIDECALL_REFUSED;
    std::memcpy(text.name, "x", 1);
    const std::array<shm::FaultRowEntry, 2> rows = {{{0, 0, 0}, {1, 0, 0}}};
    std::memcpy(image->slot.data() + sizeof record, &text, sizeof text);
    std::memcpy(image->slot.data() + sizeof record + sizeof text, rows.data(), sizeof rows);
    image->fields.fault_texts = 1;
    image->fields.fault_rows = image->fields.faults_found = 2;
  }

  const std::vector<Frame> frames_;
  std::array<size_t, kNumFrameKinds> next_{};
  size_t at_ = 0;  // in frames_: the next message or answer
  std::string_view signature_;
  std::string contract_, status_;
  std::optional<std::string> manifest_;
  bool is_verified_ = true;
  std::vector<sidecall::TensorSpec> outputs_;
  shm::HelloKind expected_ = shm::kOpen;
  bool is_present_ = false;
  int64_t rows_ = 1;
  uint64_t taken_ = 0;
  std::vector<shm::Socket> sockets_;
  std::vector<shm::Fd> kept_;
  shm::Segment request_, response_;
};

// The server of the input that runs now.
inline Server* current_server = nullptr;

class HostileEndpoint final : public shm::Endpoint {
 public:
  const std::string& label() const noexcept override { return label_; }
  shm::Socket connect(shm::Deadline, uint64_t*, shm::Error*) override {
    return current_server->connect();
  }

 private:
  const std::string label_ = "shm:/hostile";
};

// Calls `body` with a server of that input, and checks that no descriptor stays open.
template <typename Body>
void with_server(std::string_view input, Body body) {
  // Clients do not poll, so that an input takes the same path through the code each time.
  static const int no_polling = setenv("SIDECALL_SPIN_US", "0", 1);
  require(no_polling == 0, "an environment");
  const auto lowest_free = [] {
    const int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
  };
  const auto run = [&body](std::string_view text) {
    Server server(text);
    current_server = &server;
    body(&server);
  };
  // The first run opens the descriptors that stay open until the process ends.
  static const bool is_warm = (run({}), true);
  require(is_warm, "a first run");
  const int before = lowest_free();
  run(input);
  require(lowest_free() == before, "no descriptor that stays open");
}

}  // namespace fuzz

// Takes the place of the function in shm/client/endpoint.cpp.
std::unique_ptr<sidecall::shm::Endpoint> sidecall::shm::make_socket_endpoint(std::string_view) {
  return std::make_unique<fuzz::HostileEndpoint>();
}
