// Changes one frame of an input of the target `answer`, or adds, removes, copies or swaps frames,
// and writes the right lengths.
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frames.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

struct OwnFrame {
  fuzz::FrameKind kind;
  std::string contents;
};

constexpr size_t kMaxFrames = 24, kMaxContents = 2048;

void mutate(std::string* text) {
  const size_t size = text->size();
  text->resize(std::min(kMaxContents, size + 64 + size / 2));
  text->resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text->data()),
                                std::min(size, text->size()), text->size()));
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  std::minstd_rand random(seed);
  const auto below = [&random](size_t limit) { return static_cast<size_t>(random()) % limit; };
  if (below(32) == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::vector<OwnFrame> frames;
  for (const fuzz::Frame& frame : fuzz::split({reinterpret_cast<const char*>(data), size}))
    frames.push_back({frame.kind, std::string(frame.contents)});
  const size_t what = frames.empty() ? 0 : below(12);
  if (what <= 1 && frames.size() < kMaxFrames) {
    OwnFrame fresh{static_cast<fuzz::FrameKind>(below(fuzz::kNumFrameKinds)), {}};
    mutate(&fresh.contents);
    frames.insert(frames.begin() + static_cast<ptrdiff_t>(below(frames.size() + 1)), fresh);
  } else if (what == 2) {
    frames.erase(frames.begin() + static_cast<ptrdiff_t>(below(frames.size())));
  } else if (what == 3) {
    const OwnFrame copy = frames[below(frames.size())];
    if (frames.size() < kMaxFrames) frames.push_back(copy);
  } else if (what == 4) {
    std::swap(frames[below(frames.size())], frames[below(frames.size())]);
  } else if (!frames.empty()) {
    mutate(&frames[below(frames.size())].contents);
  }
  std::string out;
  for (const OwnFrame& frame : frames) {
    const size_t length = frame.contents.size();
    out += {static_cast<char>(frame.kind), static_cast<char>(length & 0xff),
            static_cast<char>(length >> 8)};
    out += frame.contents;
  }
  out.resize(std::min(out.size(), max_size));
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
