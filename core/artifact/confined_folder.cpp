// Implements confined_folder.h for Linux.
#include "confined_folder.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

namespace sidecall {
namespace {

// O_NONBLOCK, so that opening a FIFO cannot block. O_NOCTTY, so that no terminal becomes the
// controlling terminal of the process.
constexpr int kRead = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
constexpr int kLook = O_PATH | O_NOFOLLOW | O_CLOEXEC;
constexpr int kMaxLinks = 40;  // the kernel's own limit

// From linux/openat2.h, which older systems lack. The number of the system call is the same on all
// architectures.
struct OpenHow {
  uint64_t flags, mode, resolve;
};
constexpr long kOpenat2 = 437;
constexpr uint64_t kNoMagicLinks = 0x02, kBeneath = 0x08;

// An open folder on the path; the destructor closes it.
class Step {
 public:
  explicit Step(int fd) : fd_(fd) {}
  ~Step() {
    if (fd_ >= 0) ::close(fd_);
  }
  Step(Step&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Step& operator=(Step&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::deque<std::string> split(const std::string& path) {
  std::deque<std::string> names;
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    names.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

// Finds the target of an absolute link, relative to the folder. Returns false if the target is
// outside or does not exist.
bool enter(const std::string& folder, const std::string& target, std::string* inside, int* error) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(target.c_str(), nullptr),
                                                             std::free);
  if (resolved == nullptr) {
    *error = errno;
    return false;
  }
  const std::string real = resolved.get();
  const std::string start = folder == "/" ? folder : folder + "/";
  *error = EXDEV;
  if (real.compare(0, start.size(), start) != 0) return false;
  *inside = real.substr(start.size());
  return true;
}

}  // namespace

ConfinedFile::ConfinedFile(int fd, int error) noexcept : fd_(fd), error_(fd < 0 ? error : 0) {
  struct stat state{};
  if (fd_ < 0) return;
  if (::fstat(fd_, &state) != 0) error_ = errno;
  else if (S_ISDIR(state.st_mode)) error_ = EISDIR;
  else if (!S_ISREG(state.st_mode)) error_ = ENOTSUP;
  size_ = static_cast<uint64_t>(state.st_size);
  identity_ = {state.st_dev, state.st_ino};
}

ConfinedFile::~ConfinedFile() {
  if (fd_ >= 0) ::close(fd_);
}

ConfinedFile::ConfinedFile(ConfinedFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      error_(other.error_),
      size_(other.size_),
      identity_(std::move(other.identity_)) {}

int ConfinedFile::read(Content* content) const {
  *content = Content(size_);
  size_t filled = 0;
  while (filled < size_) {
    const ssize_t got =
        ::pread(fd_, content->data() + filled, size_ - filled, static_cast<off_t>(filled));
    if (got < 0 && errno != EINTR) return errno;
    if (got == 0) break;
    if (got > 0) filled += static_cast<size_t>(got);
  }
  content->cut(filled);
  return 0;
}

ConfinedFolder::ConfinedFolder(std::string path, bool use_openat2)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      use_openat2_(use_openat2) {
  if (fd_ < 0) error_ = errno;
}

ConfinedFolder::~ConfinedFolder() {
  if (fd_ >= 0) ::close(fd_);
}

ConfinedFile ConfinedFolder::open(const std::string& location) const {
  if (fd_ < 0) return {-1, error_};
  if (use_openat2_) {
    OpenHow how = {kRead, 0, kBeneath | kNoMagicLinks};
    const int fd = static_cast<int>(::syscall(kOpenat2, fd_, location.c_str(), &how, sizeof how));
    if (fd >= 0 || errno == ENOENT || errno == ENOTDIR) {
      ConfinedFile file(fd, errno);
      if (file.error_ == EISDIR && file.identity() == ConfinedFile(::dup(fd_), 0).identity())
        file.error_ = EXDEV;
      return file;
    }
    // The kernel may lack openat2, or a seccomp filter may forbid it. openat2 also refuses an
    // absolute link that ends inside the folder, and fails if there is a rename at the same time.
  }
  return open_by_component(location);
}

ConfinedFile ConfinedFolder::open_by_component(const std::string& location) const {
  std::vector<Step> steps;  // the open folders below this one; the last is the current one
  std::deque<std::string> names = split(location);
  int links = 0;
  while (!names.empty()) {
    const std::string name = std::move(names.front());
    names.pop_front();
    const int here = steps.empty() ? fd_ : steps.back().get();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (steps.empty()) return {-1, EXDEV};
      steps.pop_back();
      continue;
    }
    Step found(::openat(here, name.c_str(), kLook));
    struct stat state{};
    if (found.get() < 0 || ::fstat(found.get(), &state) != 0) return {-1, errno};
    if (S_ISLNK(state.st_mode)) {
      if (++links > kMaxLinks) return {-1, ELOOP};
      char target[PATH_MAX];
      const ssize_t length = ::readlinkat(found.get(), "", target, sizeof target);
      if (length <= 0 || static_cast<size_t>(length) == sizeof target)
        return {-1, length < 0 ? errno : ENOENT};
      std::string path(target, static_cast<size_t>(length));
      if (path.front() == '/') {
        int error = 0;
        if (!enter(path_, path, &path, &error)) return {-1, error};
        steps.clear();
      }
      const std::deque<std::string> more = split(path);
      names.insert(names.begin(), more.begin(), more.end());
    } else if (S_ISDIR(state.st_mode)) {
      steps.push_back(std::move(found));
    } else if (!names.empty()) {
      return {-1, ENOTDIR};
    } else if (!S_ISREG(state.st_mode)) {
      return {-1, ENOTSUP};
    } else {
      const int fd = ::openat(here, name.c_str(), kRead | O_NOFOLLOW);
      return {fd, errno};
    }
  }
  return {-1, steps.empty() ? EXDEV : EISDIR};
}

}  // namespace sidecall
