// The mappings of this process by file. Compiled only for ThreadSanitizer.
#include "mapping_registry.h"

#ifdef SIDECALL_ONE_MAPPING

#include <sys/stat.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace sidecall::shm::mapping_registry {
namespace {

struct Known {
  dev_t device;
  ino_t inode;
  unsigned char* data;
  uint64_t bytes;
  int holders;
};

std::mutex lock;
std::vector<Known>& all() {
  // Never destroyed, because mappings in other static objects may outlive it.
  static auto* known = new std::vector<Known>;
  return *known;
}

}  // namespace

unsigned char* find(int fd, uint64_t bytes) {
  struct stat file{};
  if (fstat(fd, &file) != 0) return nullptr;
  const std::lock_guard guard(lock);
  for (Known& known : all()) {
    if (known.device != file.st_dev || known.inode != file.st_ino || known.bytes < bytes) continue;
    ++known.holders;
    return known.data;
  }
  return nullptr;
}

void add(int fd, unsigned char* data, uint64_t bytes) {
  struct stat file{};
  if (fstat(fd, &file) != 0) return;
  const std::lock_guard guard(lock);
  all().push_back({file.st_dev, file.st_ino, data, bytes, 1});
}

bool contains(const unsigned char* data) noexcept {
  const std::lock_guard guard(lock);
  return std::any_of(all().begin(), all().end(),
                     [data](const Known& known) { return known.data == data; });
}

bool release(const unsigned char* data) noexcept {
  const std::lock_guard guard(lock);
  for (size_t i = 0; i < all().size(); ++i) {
    if (all()[i].data != data) continue;
    if (--all()[i].holders > 0) return false;
    all().erase(all().begin() + static_cast<long>(i));
    return true;
  }
  return true;
}

}  // namespace sidecall::shm::mapping_registry

#endif
