// Converts between the exception types of core and of the channel, which hold the same facts; see
// errors.h.
#include "errors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

namespace sidecall {
namespace {

// Indexed by shm::FaultKind.
constexpr std::array kKinds = {"feature", "input", "output", "column", "step"};

uint32_t kind_of(const char* what) {
  const auto is_same = [what](const char* kind) { return std::strcmp(kind, what) == 0; };
  const auto found = std::find_if(kKinds.begin(), kKinds.end(), is_same);
  return found == kKinds.end() ? 0 : static_cast<uint32_t>(found - kKinds.begin());
}

// Adds the faults of `error` to `to`. Many rows usually share few texts, so each text is sent once.
void list_faults(const Error& error, shm::Error* to) {
  std::map<std::tuple<int32_t, uint32_t, std::string, std::string, std::string>, uint32_t> known;
  for (const Fault& fault : error.faults()) {
    const uint32_t kind = kind_of(fault.what);
    const auto [text, is_new] =
        known.emplace(std::make_tuple(fault.status, kind, fault.name, fault.expected, fault.got),
                      static_cast<uint32_t>(known.size()));
    if (is_new) to->texts.push_back({fault.status, kind, fault.name, fault.expected, fault.got});
    to->rows.push_back({fault.row, text->second});
  }
  to->num_faults = static_cast<uint32_t>(std::min<size_t>(error.num_faults(), UINT32_MAX));
}

}  // namespace

shm::Error to_channel(const Error& error) {
  shm::Error result(error.status(), error.what());
  if (error.faults().empty()) return result;
  const Fault& first = error.faults().front();
  result.row = first.row;
  result.name = first.name;
  result.expected = first.expected;
  result.got = first.got;
  list_faults(error, &result);
  return result;
}

Error to_core(const shm::Error& error) {
  if (!error.rows.empty()) {
    std::vector<Fault> faults;
    for (const shm::FaultRow& row : error.rows) {
      const shm::FaultText& text = error.texts[row.text];
      faults.push_back({text.status, row.row, text.name, text.expected, text.got,
                        text.kind < kKinds.size() ? kKinds[text.kind] : kKinds[0]});
    }
    return {error.status, error.message, std::move(faults), error.num_faults};
  }
  if (error.row < 0 && error.name.empty() && error.expected.empty() && error.got.empty())
    return {error.status, error.message};
  return {Fault{error.status, error.row, error.name, error.expected, error.got}, error.message};
}

const char* stop_text(int32_t status) noexcept {
  switch (status) {
    case SIDECALL_TIMEOUT:
      return "the deadline passed before the run was over";
    case SIDECALL_PEER_DIED:
      return "the client has disconnected";
    case SIDECALL_UNREACHABLE:
      return "the server is shutting down";
    default:
      return "the run was cancelled";
  }
}

}  // namespace sidecall
