// bench-shm-iceoryx-client spin|sleep SERVICE: times round trips of the echo over iceoryx. Answers
// "round NAME FIRST CALLS WARM_UP" of run.py.
#include <cinttypes>
#include <cstring>
#include <iceoryx_posh/popo/client.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <vector>

#include "iceoryx.hpp"
#include "peer.h"

namespace {

using Client = iox::popo::Client<Row, Answer>;

class Echo {
 public:
  Echo(const char* mode, const char* service)
      : sleeps_(std::strcmp(mode, "sleep") == 0), client_(service_of(service)) {
    if (sleeps_)
      waits_.attachState(client_, iox::popo::ClientState::HAS_RESPONSE).or_else([](auto) {
        peer_fail("iceoryx: cannot attach");
      });
  }

  int64_t call(const float* row, float* answer) {
    const int64_t start = peer_now_ns();
    client_.loan()
        .and_then([&](auto& request) {
          std::memcpy(request->values, row, sizeof(Row));
          request.send().or_else([](auto&) { peer_fail("iceoryx: cannot send a request"); });
        })
        .or_else([](auto&) { peer_fail("iceoryx: cannot loan a request"); });
    bool answered = false;
    while (!answered) {
      if (sleeps_) waits_.wait();
      client_.take().and_then([&](const auto& response) {
        std::memcpy(answer, response->values, sizeof(Answer));
        answered = true;
      });
    }
    return peer_now_ns() - start;
  }

 private:
  bool sleeps_;
  Client client_;
  iox::popo::WaitSet<> waits_;
};

void do_round(Echo* echo, int64_t first, int64_t calls, int64_t warm_up) {
  std::vector<int64_t> times(static_cast<size_t>(calls));
  float row[PEER_ROW], answer[PEER_ANSWER];
  for (int64_t i = -warm_up; i < calls; ++i) {
    for (int k = 0; k < PEER_ROW; ++k) row[k] = static_cast<float>((first + i + k) % 1000);
    const int64_t time = echo->call(row, answer);
    if (answer[0] != row[0] || answer[1] != row[PEER_ROW - 2] || answer[2] != row[PEER_ROW - 1])
      peer_fail("iceoryx: a wrong answer");
    if (i >= 0) times[static_cast<size_t>(i)] = time;
  }
  peer_answer(times.data(), calls, nullptr, 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) peer_fail("expected bench-shm-iceoryx-client spin|sleep SERVICE");
  keep_quiet();
  iox::runtime::PoshRuntime::initRuntime(
      iox::RuntimeName_t(iox::cxx::TruncateToCapacity, std::string("bench-client-") + argv[2]));
  Echo echo(argv[1], argv[2]);
  char line[256], name[64];
  int64_t first = 0, calls = 0, warm_up = 0;
  while (fgets(line, sizeof line, stdin) != nullptr) {
    if (sscanf(line, "round %63s %" SCNd64 " %" SCNd64 " %" SCNd64, name, &first, &calls,
               &warm_up) != 4)
      peer_fail("unknown request");
    do_round(&echo, first, calls, warm_up);
  }
  return 0;
}
