// Sealed memory files and their mappings: made by servers, checked by clients before they map, replaced at the same address when a client
// reconnects, private in a forked child.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fork.h"
#include "socket.h"

namespace sidecall::shm {

// Memory of this process, page-aligned. Owned; in a forked child it becomes private memory at the same address.
//
// ThreadSanitizer sees nothing through two mappings of one file. Its builds give a client of the same process the server's own mapping; only
// there replace() takes the other's address.
class Mapping final : public ForkAware {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // The first `bytes` of a file, shared. With `populate` all pages are mapped at once, which also allocates those that a sparse file does not have yet:
  // not for a file whose size the peer chose. Throws OUT_OF_MEMORY, PROTOCOL (sealed against what was asked).
  static Mapping of(int fd, uint64_t bytes, bool writable, bool populate = true);

  // Moves another mapping of the same size to this address, in place of what is there. Addresses keep their meaning; no reader sees a hole.
  void replace(Mapping fresh);

  // Puts private zeroes there instead: what views of a memory that is gone may still touch.
  void replace_by_zeroes() noexcept;

  unsigned char* data() const noexcept { return data_; }
  uint64_t bytes() const noexcept { return bytes_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }
  void reset() noexcept;

 private:
  Mapping(unsigned char* data, uint64_t bytes) noexcept;
  void in_child() noexcept override;
  unsigned char* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// ---- Servers ----

// A memory file and the maker's mapping of it.
struct Segment {
  Fd file;
  Mapping memory;
};

// REQUEST: populated, sealed SHRINK, GROW, SEAL, mapped read-only here. Throws OUT_OF_MEMORY.
Segment make_request_segment(uint64_t bytes);

// RESPONSE: populated, mapped for writing here, and then sealed FUTURE_WRITE, SHRINK, GROW, SEAL: read-only for everybody else.
Segment make_response_segment(uint64_t bytes);

// A memory file that still can be written, for a one-shot result; publish it with seal_file once it is complete. Throws OUT_OF_MEMORY.
Segment make_file(uint64_t bytes);

// Gives up the mapping and seals WRITE, SHRINK, GROW, SEAL.
Fd seal_file(Segment segment);

// The same for what is at hand: the manifest, STATUS.
Fd make_sealed_file(std::string_view first, std::string_view second = {},
                    std::string_view third = {});

// ---- Clients ----

enum class Kind { kRequest, kResponse, kSealed };

// Throws PROTOCOL unless this is a memory file of exactly `bytes` with the seals of its kind. Nothing may be mapped or read before.
void check_file(int fd, Kind kind, uint64_t bytes);

// The contents of a write-sealed file of `bytes`, which must be at most `limit`. Throws PROTOCOL, OUT_OF_MEMORY.
std::string read_sealed_file(int fd, uint64_t bytes, uint64_t limit);

}  // namespace sidecall::shm
