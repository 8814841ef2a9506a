// Binds the tensors of one call to a plan.
#pragma once

#include <memory>

#include "core/binding.h"
#include "plan.h"

namespace sidecall::native {

// `has_refusals`: the last output of the graph holds the refusals, and callers do not see it; see
// Engine::expect_refusals(). The plan must outlive the binding.
std::unique_ptr<Binding> bind_plan(const Plan& plan, bool has_refusals);

}  // namespace sidecall::native
