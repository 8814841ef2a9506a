// Texts of errors and names of statuses; used by all of core and by the C ABI.
#include "error.h"

#include <array>
#include <cstring>

#include "base/json/fault_json.h"
#include "text.h"

namespace sidecall {
namespace {

struct StatusName {
  int32_t status;
  const char* name;
};

#define STATUS(name) \
  StatusName { SIDECALL_##name, #name }
constexpr std::array kStatusNames = {
    STATUS(OK),
    STATUS(INVALID_ARGUMENT),
    STATUS(BUSY),
    STATUS(NOT_RUN),
    STATUS(CANCELLED),
    STATUS(FILE_NOT_FOUND),
    STATUS(FILE_UNREADABLE),
    STATUS(FILE_INVALID),
    STATUS(FILE_TOO_LARGE),
    STATUS(FILE_FORBIDDEN),
    STATUS(CONTRACT_INVALID),
    STATUS(CONTRACT_FORMAT),
    STATUS(NO_CONTRACT),
    STATUS(UNSUPPORTED),
    STATUS(VERIFICATION_FAILED),
    STATUS(CONTRACT_CHANGED),
    STATUS(DTYPE_MISMATCH),
    STATUS(SHAPE_MISMATCH),
    STATUS(UNKNOWN_NAME),
    STATUS(MISSING_INPUT),
    STATUS(MISSING_VALUE),
    STATUS(UNKNOWN_CATEGORY),
    STATUS(INVALID_STRING),
    STATUS(INVALID_JSON),
    STATUS(OUT_OF_RANGE),
    STATUS(REFUSED),
    STATUS(PEER_DIED),
    STATUS(TIMEOUT),
    STATUS(UNREACHABLE),
    STATUS(DENIED),
    STATUS(PROTOCOL),
    STATUS(FORKED),
    STATUS(ENGINE),
    STATUS(ENGINE_NOT_FOUND),
    STATUS(ENGINE_TOO_OLD),
    STATUS(OUT_OF_MEMORY),
    STATUS(INTERNAL),
};
#undef STATUS

constexpr size_t kFaultsInMessage = 3;

std::string row_text(const Fault& fault) {
  return fault.row < 0 ? "" : " (row " + std::to_string(fault.row) + ")";
}

std::string describe_all(const std::vector<Fault>& faults, size_t total, bool name_rows) {
  std::string text;
  for (size_t i = 0; i < faults.size() && i < kFaultsInMessage; ++i) {
    text += (i == 0 ? "" : "; ") + describe(faults[i].what, faults[i]) +
            (name_rows ? row_text(faults[i]) : "");
  }
  if (total > kFaultsInMessage)
    text += "; and " + std::to_string(total - kFaultsInMessage) + " more";
  return text;
}

}  // namespace

std::string describe(const char* what, const Fault& fault) {
  const std::string name = std::strcmp(what, kRecords) == 0 ? "" : " '" + fault.name + "'";
  return what + name + ": expected " + fault.expected + ", got " + fault.got;
}

Error::Error(int32_t status, const std::string& message)
    : status_(status), message_(printable(message)) {}

Error::Error(Fault fault, const std::string& message) : Error(fault.status, message) {
  num_faults_ = 1;
  faults_.push_back(std::move(fault));
}

Error::Error(const char* what, const Fault& fault)
    : Error(fault, describe(what, fault) + row_text(fault)) {
  faults_.front().what = what;
}

Error::Error(std::vector<Fault> faults, size_t total, bool name_rows)
    : status_(faults.front().status),
      message_(printable(describe_all(faults, total, name_rows))),
      faults_(std::move(faults)),
      num_faults_(total) {}

Error::Error(int32_t status, const std::string& message, std::vector<Fault> faults, size_t total)
    : status_(status),
      message_(printable(message)),
      faults_(std::move(faults)),
      num_faults_(total) {}

bool Error::retryable() const noexcept {
  switch (status_) {
    case SIDECALL_BUSY:
    case SIDECALL_PEER_DIED:
    case SIDECALL_TIMEOUT:
    case SIDECALL_UNREACHABLE:
    case SIDECALL_OUT_OF_MEMORY:
      return true;
    default:
      return false;
  }
}

const char* status_name(int32_t status) noexcept {
  for (const StatusName& entry : kStatusNames) {
    if (entry.status == status) return entry.name;
  }
  return "UNKNOWN";
}

int32_t status_of_name(std::string_view name) noexcept {
  for (const StatusName& entry : kStatusNames) {
    if (entry.name == name) return entry.status;
  }
  return SIDECALL_OK;
}

}  // namespace sidecall
