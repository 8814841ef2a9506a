// Writes what is wrong with a value as JSON, in the form of all answers over HTTP.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "json_text.h"

namespace sidecall {

// FaultTexts::what of a fault that concerns the records as a whole; such a fault has no name.
inline constexpr const char* kRecords = "records";
// FaultTexts::what, indexed by SIDECALL_FAULT_*.
inline constexpr std::array<const char*, 6> kFaultKinds = {"feature", "input", "output",
                                                           "column",  "step",  kRecords};

inline int32_t fault_kind(std::string_view what) noexcept {
  const auto found = std::find(kFaultKinds.begin(), kFaultKinds.end(), what);
  return found == kFaultKinds.end() ? 0 : static_cast<int32_t>(found - kFaultKinds.begin());
}

struct FaultTexts {
  int64_t row;  // -1 if the fault concerns no particular row
  std::string_view status;
  std::string_view what;  // what `name` names, for example "feature"
  std::string_view name;
  std::string_view expected;
  std::string_view got;
};

// Appends {"row":0,"status":"DTYPE_MISMATCH","feature":"age","expected":"float32","got":"string"}.
inline void append_fault(const FaultTexts& fault, std::string* out) {
  out->push_back('{');
  if (fault.row >= 0) out->append("\"row\":" + std::to_string(fault.row) + ",");
  out->append("\"status\":");
  append_json_string(fault.status, out);
  if (fault.what != kRecords) {
    out->push_back(',');
    append_json_string(fault.what, out);
    out->push_back(':');
    append_json_string(fault.name, out);
  }
  out->append(",\"expected\":");
  append_json_string(fault.expected, out);
  out->append(",\"got\":");
  append_json_string(fault.got, out);
  out->push_back('}');
}

}  // namespace sidecall
