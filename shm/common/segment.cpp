// Memory files: creating, sealing, checking and mapping them.
#include "segment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "error.h"
#include "layout.h"
#include "mapping_registry.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U  // Linux 6.3
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif

namespace sidecall::shm {
namespace {

constexpr int kFixedSize = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;

// Larger mappings are not copied into a forked child, because the copy would make every fork()
// slow. The child's views of them then show zeroes.
constexpr uint64_t kMaxForkCopy = UINT64_C(64) << 20;

void* map_file(int fd, uint64_t bytes, bool writable, bool populate) {
  return mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
              MAP_SHARED | (populate ? MAP_POPULATE : 0), fd, 0);
}

// EPERM and EACCES mean that the seals or the open mode of the file do not allow the mapping.
[[noreturn]] void map_failure(int error_number) {
  if (error_number == EPERM || error_number == EACCES)
    violation("a memory file does not allow the required mapping");
  system_failure(SIDECALL_OUT_OF_MEMORY, "cannot map a memory file", error_number);
}

Fd make_memory_file(uint64_t bytes) {
  int fd = memfd_create("sidecall", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("sidecall", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a memory file", errno);
  Fd file(fd);
  const auto size = static_cast<off_t>(bytes);
  if (size < 0 || ftruncate(fd, size) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot set the size of a memory file",
                   size < 0 ? ENOMEM : errno);
  // Allocate the pages now: a shortage of memory at the first access would raise a signal.
  while (bytes > 0 && fallocate(fd, 0, 0, size) != 0)
    if (errno != EINTR)
      system_failure(SIDECALL_OUT_OF_MEMORY, "cannot allocate the memory of a connection", errno);
  return file;
}

void seal(int fd, int seals) {
  if (fcntl(fd, F_ADD_SEALS, seals) != 0)
    system_failure(SIDECALL_UNSUPPORTED, "cannot seal a memory file", errno);
}

}  // namespace

// ---- Mappings ----

Mapping::Mapping(unsigned char* data, uint64_t bytes) noexcept : data_(data), bytes_(bytes) {
  watch();
}

Mapping::Mapping(Mapping&& other) noexcept { *this = std::move(other); }

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  reset();
  other.unwatch();
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  if (data_) watch();
  return *this;
}

Mapping::~Mapping() { reset(); }

void Mapping::reset() noexcept {
  if (!data_) return;
  unwatch();
  if (mapping_registry::release(data_)) munmap(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

Mapping Mapping::of(int fd, uint64_t bytes, bool writable, bool populate) {
  if (unsigned char* known = mapping_registry::find(fd, bytes)) return Mapping(known, bytes);
  void* data = map_file(fd, bytes, writable || mapping_registry::kIsUsed, populate);
  if (data == MAP_FAILED && !writable) data = map_file(fd, bytes, false, populate);
  if (data == MAP_FAILED) map_failure(errno);
  mapping_registry::add(fd, static_cast<unsigned char*>(data), bytes);
  return Mapping(static_cast<unsigned char*>(data), bytes);
}

Mapping Mapping::separate(int fd, uint64_t bytes, bool writable) {
  void* data = map_file(fd, bytes, writable, true);
  if (data == MAP_FAILED) map_failure(errno);
  return {static_cast<unsigned char*>(data), bytes};
}

Mapping Mapping::of_zeroes(uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot map memory", errno);
  return {static_cast<unsigned char*>(data), bytes};
}

void Mapping::replace(Mapping fresh) {
  if (mapping_registry::contains(data_)) {
    *this = std::move(fresh);
    return;
  }
  if (fresh.bytes_ != bytes_) throw Error(SIDECALL_INTERNAL, "expected a mapping of the same size");
  if (mremap(fresh.data_, bytes_, bytes_, MREMAP_MAYMOVE | MREMAP_FIXED, data_) == MAP_FAILED) {
    const int error_number = errno;
    replace_by_zeroes();  // mremap may already have unmapped the old pages
    map_failure(error_number);
  }
  fresh.unwatch();
  fresh.data_ = nullptr;
}

void Mapping::replace_by_zeroes() noexcept {
  if (data_ && !mapping_registry::contains(data_))
    static_cast<void>(mmap(data_, bytes_, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
}

void Mapping::in_child() noexcept {
  if (bytes_ <= kMaxForkCopy) {
    void* copy = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy != MAP_FAILED) {
      std::memcpy(copy, data_, bytes_);
      if (mremap(copy, bytes_, bytes_, MREMAP_MAYMOVE | MREMAP_FIXED, data_) != MAP_FAILED) return;
      munmap(copy, bytes_);
    }
  }
  static_cast<void>(mmap(data_, bytes_, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
}

// ---- Making ----

Segment make_request_segment(uint64_t bytes) {
  Segment segment;
  segment.file = make_memory_file(bytes);
  seal(segment.file.get(), kFixedSize);
  segment.memory = Mapping::of(segment.file.get(), bytes, false);
  return segment;
}

Segment make_response_segment(uint64_t bytes) {
  Segment segment = make_file(bytes);
  // Seal after our own mapping was made: a mapping that exists already keeps the right to write.
  seal(segment.file.get(), kFixedSize | F_SEAL_FUTURE_WRITE);
  return segment;
}

Segment make_file(uint64_t bytes) {
  Segment segment;
  segment.file = make_memory_file(bytes);
  segment.memory = Mapping::of(segment.file.get(), bytes, true);
  return segment;
}

Fd seal_file(Segment segment) {
  segment.memory.reset();
  // The kernel refuses F_SEAL_WRITE while any mapping of the file is writable.
  seal(segment.file.get(), kFixedSize | F_SEAL_WRITE);
  return std::move(segment.file);
}

Fd make_sealed_file(std::string_view first, std::string_view second, std::string_view third) {
  Fd file = make_memory_file(first.size() + second.size() + third.size());
  for (std::string_view part : {first, second, third}) {
    while (!part.empty()) {
      const ssize_t written = write(file.get(), part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0)
        system_failure(SIDECALL_OUT_OF_MEMORY, "a memory file cannot be written",
                       written < 0 ? errno : ENOSPC);
      part.remove_prefix(static_cast<size_t>(written));
    }
  }
  seal(file.get(), kFixedSize | F_SEAL_WRITE);
  return file;
}

// ---- Checking ----

void check_file(int fd, Kind kind, uint64_t bytes) {
  // Accept only tmpfs. In other file systems that support seals (hugetlbfs) a page may be
  // unavailable at the first access, which raises a signal.
  struct statfs system{};
  if (fstatfs(fd, &system) != 0 || system.f_type != TMPFS_MAGIC)
    violation("expected a memory file on tmpfs, got a descriptor of another kind");
  const int required = kFixedSize | (kind == Kind::kResponse ? F_SEAL_FUTURE_WRITE
                                     : kind == Kind::kSealed ? F_SEAL_WRITE
                                                             : 0);
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & required) != required) violation("a memory file lacks a required seal");
  struct stat found{};
  if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size < 0 ||
      static_cast<uint64_t>(found.st_size) != bytes)
    violation("a memory file does not have the announced size");
}

std::string read_sealed_file(int fd, uint64_t bytes, uint64_t limit) {
  if (bytes > limit) violation("a memory file is larger than the protocol allows");
  check_file(fd, Kind::kSealed, bytes);
  std::string text(bytes, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) violation("a memory file cannot be read");
    done += static_cast<size_t>(got);
  }
  return text;
}

}  // namespace sidecall::shm
