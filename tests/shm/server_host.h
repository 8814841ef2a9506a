// A server of the channel whose handler is a function, and the services that the tests of the
// server use.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "shm/server/server.h"

namespace host {

namespace shm = sidecall::shm;

constexpr int32_t kFloat = 1, kText = 8, kBool = 9;

// x float32[?,4] -> y float32[?,4]
inline shm::Service numbers() {
  shm::Service service;
  service.name = "numbers";
  service.version = "7";
  service.signature =
      R"({"inputs": [{"name": "x", "dtype": "float32", "dims": [-1, 4]}], "outputs": []})";
  service.signature += '\n';
  service.contract = R"({"format": 5})";
  service.model_id = std::string(64, 'a');
  service.is_verified = true;
  for (size_t i = 0; i < service.signature_digest.size(); ++i)
    service.signature_digest[i] = static_cast<uint8_t>(i);
  service.inputs = {{"x", kFloat, {-1, 4}}};
  service.outputs = {{"y", kFloat, {-1, 4}}};
  return service;
}

// s string[?], b bool[?] -> t string[?], c bool[?]
inline shm::Service texts() {
  shm::Service service = numbers();
  service.name = "texts";
  service.inputs = {{"s", kText, {-1}}, {"b", kBool, {-1}}};
  service.outputs = {{"t", kText, {-1}}, {"c", kBool, {-1}}};
  return service;
}

// Answers each input with an equal output of the same index.
inline void echo(const shm::Request& request, shm::Response& response) {
  for (size_t i = 0; i < request.num_inputs(); ++i) {
    const shm::InputView& input = request.input(i);
    if (input.offsets != nullptr) {
      response.place_strings(i, input.dims, input.rank, input.offsets,
                             {static_cast<const char*>(input.data), input.bytes});
    } else {
      std::memcpy(response.place(i, input.dims, input.rank), input.data, input.bytes);
    }
  }
}

class FunctionHandler final : public shm::Handler {
 public:
  using Body = std::function<void(const shm::Request&, shm::Response&)>;
  explicit FunctionHandler(Body body) : body_(std::move(body)) {}

  std::unique_ptr<shm::Session> open_session() override {
    if (while_opening) while_opening();
    ++sessions;
    return std::make_unique<FunctionSession>(this);
  }

  std::atomic<int> sessions{0}, interrupts{0};
  std::function<void()> while_opening;  // set before the first call

 private:
  struct FunctionSession final : shm::Session {
    explicit FunctionSession(FunctionHandler* its_owner) : owner(its_owner) {}
    void handle(const shm::Request& request, shm::Response& response) override {
      owner->body_(request, response);
    }
    void interrupt() noexcept override { ++owner->interrupts; }
    FunctionHandler* owner;
  };
  Body body_;
};

// A temporary folder that the destructor removes.
class Folder {
 public:
  Folder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "sidecall-shm-").string() + std::string(6, 'X');
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class Host {
 public:
  explicit Host(shm::Service service = numbers(), FunctionHandler::Body body = echo,
                shm::ServerOptions options = {})
      : handler(std::move(body)),
        path(folder / "s.sock"),
        server(std::move(service), &handler, with_log(std::move(options))) {
    server.listen(path);
  }

  bool has_logged(const std::string& event) const { return count_logged(event) > 0; }
  int count_logged(const std::string& event) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    int count = 0;
    for (const auto& entry : events_) count += entry.first == event ? 1 : 0;
    return count;
  }
  std::string facts_of(const std::string& event) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& entry : events_) {
      if (entry.first == event) return entry.second;
    }
    return "";
  }

  // A number of status(); -1 if there is none of that name.
  int64_t number(const std::string& name) const {
    const std::string json = server.status();
    const size_t at = json.find("\"" + name + "\":");
    return at == std::string::npos ? -1 : std::atoll(json.c_str() + at + name.size() + 3);
  }

  Folder folder;
  FunctionHandler handler;
  std::string path;

 private:
  shm::ServerOptions with_log(shm::ServerOptions options) {
    options.log = [this](shm::LogLevel, const char* event, const std::string& facts) {
      const std::lock_guard<std::mutex> lock(mutex_);
      events_.emplace_back(event, facts);
      return true;
    };
    return options;
  }
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::string>> events_;

 public:
  shm::Server server;  // destroyed first, because it writes to the log until then
};

// Checks the condition repeatedly, for at most ten seconds.
template <typename Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    usleep(1000);
  }
  return condition();
}

}  // namespace host
