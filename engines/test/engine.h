// Opens "test:double?open_ms=50&run_ms=20", whose model returns y = 2 * x. A thread of this process
// stands for its server. Tests in every language open it, and it is the shortest example of a
// route. Only test builds contain it.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/model.h"

namespace sidecall {

// Whether a URI names a model of this route.
bool is_test(const std::string& uri) noexcept;

// open_ms: how long opening takes; run_ms: how long the server takes for a run, in milliseconds, at
// most a minute. Both are 0 by default. Throws INVALID_ARGUMENT.
std::shared_ptr<const Model> open_test(const std::string& uri,
                                       const sidecall_model_options& options);

}  // namespace sidecall
