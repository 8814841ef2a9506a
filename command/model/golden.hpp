// Sets features of a call to values of the golden rows of a contract; used by diff and bench.
#pragma once

#include "formats/json.hpp"
#include "model.hpp"

namespace sidecall::cli {

// Sets a feature to a value from the contract. Ignores the status of the setter, because the run
// reports every fault again.
void set_golden(const sidecall_model* model, sidecall_call* call, int64_t row, int32_t feature,
                const Json& value);

}  // namespace sidecall::cli
