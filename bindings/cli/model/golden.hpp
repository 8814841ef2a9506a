// Golden rows as values of a call: the rows that a contract carries, for the commands that run them.
#pragma once

#include "formats/json.hpp"
#include "model.hpp"

namespace sidecall::cli {

// Sets a feature to a value as the contract writes it. Statuses are not looked at: the run repeats every fault.
void set_golden(const sidecall_model* model, sidecall_call* call, int64_t row, int32_t feature,
                const Json& value);

}  // namespace sidecall::cli
