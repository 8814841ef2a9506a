// The format of the inputs of the target `answer`: a list of frames. Each frame has a kind (one
// byte), a length (two bytes, the low one first), and its contents.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fuzz {

enum FrameKind : uint8_t {
  kModel,      // which model is served: one of a few
  kStatus,     // the answer to STATUS
  kHandshake,  // how the server answers the next HELLO
  kMessage,    // a message of the server before its next answer
  kAnswer,     // how it answers the next request
  kCalls,      // what the client does: one byte for each action
  kNumFrameKinds
};

struct Frame {
  FrameKind kind;
  std::string_view contents;
};

// 0 beyond the end.
inline unsigned byte_at(std::string_view text, size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

inline std::vector<Frame> split(std::string_view input) {
  std::vector<Frame> frames;
  while (input.size() >= 3) {
    const size_t length =
        std::min<size_t>(byte_at(input, 1) | byte_at(input, 2) << 8U, input.size() - 3);
    frames.push_back(
        {static_cast<FrameKind>(byte_at(input, 0) % kNumFrameKinds), input.substr(3, length)});
    input.remove_prefix(3 + length);
  }
  return frames;
}

}  // namespace fuzz
