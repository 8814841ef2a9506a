// How many bytes the answer to a request may have. A server cannot make a client hold more than the
// request can need.
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/api/net.h"

namespace sidecall::net {

inline constexpr uint64_t kSmallAnswerBytes = UINT64_C(64) << 10;  // "is the server ready?"
inline constexpr uint64_t kMetadataBytes = UINT64_C(64) << 20;     // with a contract

// The limit for a run with these outputs; -1 is a dimension that the client does not know.
uint64_t max_answer_bytes(const sidecall_net_tensor* outputs, size_t count) noexcept;

}  // namespace sidecall::net
