// Checks the form of an answer to STATUS. Used by clients and by the supervisor, which receive the
// answer from another process.
#pragma once

#include <string_view>

namespace sidecall::shm {

// Whether the text is a JSON object of at most 64 levels.
bool is_status_json(std::string_view text);

}  // namespace sidecall::shm
