// Texts that the C ABI returns and that sidecall_text_close releases. Used by every file that
// returns one.
#pragma once

#include <sidecall/sidecall.h>

#include <string>
#include <utility>

namespace sidecall {

// The text together with the string that owns its memory.
struct OwnedText : sidecall_text {
  explicit OwnedText(std::string&& from) : sidecall_text{}, text(std::move(from)) {
    data = text.c_str();
    length = text.size();
  }
  const std::string text;
};

inline sidecall_text* make_text(std::string&& text) { return new OwnedText(std::move(text)); }

}  // namespace sidecall
