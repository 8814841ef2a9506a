// Binds the tensors of one call to a plan.
#pragma once

#include <memory>

#include "core/execution_context.h"
#include "plan.h"

namespace sidecall::native {

// `has_refusals`: the last output of the graph holds the refusals, and callers do not see it; see
// Engine::expect_refusals(). The plan must outlive the context.
std::unique_ptr<ExecutionContext> make_plan_context(const Plan& plan, bool has_refusals);

}  // namespace sidecall::native
