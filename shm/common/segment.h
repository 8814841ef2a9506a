// Sealed memory files and their mappings. Servers create them; clients check them before they map
// them. A client replaces a mapping at the same address when it reconnects, and in a forked child
// mappings become private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fork.h"
#include "socket.h"

namespace sidecall::shm {

// A page-aligned mapping that this object owns. In a forked child it becomes private memory at the
// same address.
//
// ThreadSanitizer cannot relate accesses through two mappings of one file. In its builds a client
// in the same process therefore gets the server's own mapping from of(). Only in these builds does
// replace() change the address of such a mapping: to that of the other one.
class Mapping final : public ForkAware {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // Maps the first `bytes` of a file, shared. `populate` maps all pages at once. This also
  // allocates the missing pages of a sparse file, so do not use it for a file whose size the peer
  // chose. Throws OUT_OF_MEMORY, and PROTOCOL when the seals of the file do not allow the mapping.
  static Mapping of(int fd, uint64_t bytes, bool writable, bool populate = true);

  // The same, with all pages, and at an address of its own in every build.
  static Mapping separate(int fd, uint64_t bytes, bool writable);

  // Maps private memory full of zeroes, for a separate mapping that replaces it later. Throws
  // OUT_OF_MEMORY.
  static Mapping of_zeroes(uint64_t bytes);

  // Moves another mapping of the same size to this address, in place of the present one. Pointers
  // into the mapping stay valid, and a reader never finds the address range unmapped.
  void replace(Mapping fresh);

  // Replaces the mapping by private zero pages at the same address, for views that may still be
  // read although the shared memory is gone.
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

// A memory file, and the mapping of it by the process that created it.
struct Segment {
  Fd file;
  Mapping memory;
};

// Creates REQUEST: populated, sealed SHRINK, GROW and SEAL, mapped read-only here. Throws
// OUT_OF_MEMORY.
Segment make_request_segment(uint64_t bytes);

// Creates RESPONSE: populated, mapped for writing here, and then sealed FUTURE_WRITE, SHRINK, GROW
// and SEAL, which makes it read-only for every other process.
Segment make_response_segment(uint64_t bytes);

// Creates a memory file that can still be written, for a one-shot result. Publish it with seal_file
// once it is complete. Throws OUT_OF_MEMORY.
Segment make_file(uint64_t bytes);

// Removes the mapping and seals the file WRITE, SHRINK, GROW and SEAL.
Fd seal_file(Segment segment);

// Creates a file with the same seals from contents that already exist. Used for the manifest and
// for the answer to STATUS.
Fd make_sealed_file(std::string_view first, std::string_view second = {},
                    std::string_view third = {});

// ---- Clients ----

enum class Kind { kRequest, kResponse, kSealed };

// Throws PROTOCOL unless this is a memory file of exactly `bytes` with the seals of its kind. Call
// this before the file is mapped or read.
void check_file(int fd, Kind kind, uint64_t bytes);

// Returns the contents of a write-sealed file of `bytes`, which must be at most `limit`. Throws
// PROTOCOL, OUT_OF_MEMORY.
std::string read_sealed_file(int fd, uint64_t bytes, uint64_t limit);

}  // namespace sidecall::shm
