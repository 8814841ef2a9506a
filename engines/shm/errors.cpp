// Converts between the exception types of core and of the channel, which hold the same facts; see
// errors.h.
#include "errors.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/json/fault_json.h"
#include "shm/common/layout.h"

namespace sidecall {
namespace {

// shm::FaultKind has the numbers of SIDECALL_FAULT_*, except for faults of the records as a whole,
// which are not sent.
uint32_t kind_of(const char* what) {
  const int32_t kind = fault_kind(what);
  return kind > SIDECALL_FAULT_STEP ? 0 : static_cast<uint32_t>(kind);
}

const char* what_of(uint32_t kind) { return kFaultKinds[kind <= shm::kStepFault ? kind : 0]; }

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
      faults.push_back(
          {text.status, row.row, text.name, text.expected, text.got, what_of(text.kind)});
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
