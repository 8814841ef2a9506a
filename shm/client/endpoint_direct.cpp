// The endpoint for a server or a supervisor of this process.
#include <utility>

#include "endpoint.h"

namespace sidecall::shm {
namespace {

constexpr int kMostHangUps = 3;

class DirectEndpoint final : public Endpoint {
 public:
  DirectEndpoint(std::string label, Direct direct)
      : label_(std::move(label)), direct_(std::move(direct)) {}

  const std::string& label() const noexcept override { return label_; }
  Socket connect(Deadline, uint64_t*, Error*) override { return direct_.connect(); }
  int32_t num_processes() override { return direct_.num_processes(); }

  // A worker may have ended between the handover of the connection and its answer.
  bool has_successor(int num_hang_ups, Deadline) override {
    return num_hang_ups > 0 && num_hang_ups < kMostHangUps;
  }

 private:
  const std::string label_;
  const Direct direct_;
};

}  // namespace

std::unique_ptr<Endpoint> make_direct_endpoint(std::string label, Direct direct) {
  return std::make_unique<DirectEndpoint>(std::move(label), std::move(direct));
}

}  // namespace sidecall::shm
