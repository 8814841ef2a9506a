// How much memory an event may take. Lambda kills a function that takes more than it was given, so
// a larger event is refused instead. Used by lambda.cpp.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json/json_memory.h"

namespace sidecall::cli {

class EventMemory {
 public:
  // `function_mib` is the memory of the function as Lambda tells it; "" if there is no limit. The
  // memory that this process holds now is subtracted, so the model must be open.
  EventMemory(const sidecall_model* model, const std::string& function_mib);

  // The bytes that it takes to read records, to run the model and to answer.
  uint64_t of_records(std::string_view json) const;
  // The bytes that an event may take.
  uint64_t left() const { return left_; }

 private:
  RecordMemory records_;
  uint64_t left_ = UINT64_MAX;
};

}  // namespace sidecall::cli
