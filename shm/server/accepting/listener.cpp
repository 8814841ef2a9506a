// Takes the lock, binds next to the path and renames, so that a living server is never disturbed;
// see listener.h.
#include "listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "shm/common/error.h"

namespace sidecall::shm {

namespace {

constexpr int kBacklog = 1024;

[[noreturn]] void fail(const std::string& path, int error) {
  const int32_t status =
      error == EACCES || error == EPERM || error == EROFS ? SIDECALL_DENIED : SIDECALL_UNREACHABLE;
  system_failure(status, "cannot listen at '" + path + "'", error);
}

[[noreturn]] void busy(const std::string& path) {
  throw Error(SIDECALL_BUSY, "cannot listen at '" + path + "': another server is there");
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The default folder has rules of its own. Any other folder is created if it is missing, and
// otherwise left unchanged.
void prepare_folder(const std::string& path, bool is_default, int64_t group) {
  const std::string folder = folder_of(path);
  bool is_ours = is_default;
  if (is_default) {
    check_default_folder(path, true);
  } else if (mkdir(folder.c_str(), 0700) == 0) {
    is_ours = true;
  } else if (errno != EEXIST) {
    fail(path, errno);
  }
  if (!is_ours || group < 0) return;
  const Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || fchown(fd.get(), static_cast<uid_t>(-1), static_cast<gid_t>(group)) != 0 ||
      fchmod(fd.get(), 0750) != 0)
    fail(path, errno);
}

// Takes the lock file, which is held until the server ends. Its previous holder may have removed
// the file between our open and our flock; a removed file protects nothing, so try again.
Fd take_lock(const std::string& path, const std::string& name) {
  for (;;) {
    Fd file(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) fail(path, errno);
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) busy(path);
      if (errno != EINTR) fail(path, errno);
      continue;
    }
    struct stat held{}, named{};
    if (fstat(file.get(), &held) != 0) fail(path, errno);
    if (lstat(name.c_str(), &named) != 0) {
      if (errno != ENOENT) fail(path, errno);
    } else if (held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
      return file;
    }
  }
}

// We hold the lock, so a socket found here is stale, unless it belongs to a server that does not
// use our lock.
void check_vacant(const std::string& path) {
  struct stat found{};
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return;
    fail(path, errno);
  }
  if (!S_ISSOCK(found.st_mode)) {
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "cannot listen at '" + path +
                    "': expected a socket or nothing there, got another kind of file");
  }
  int error = 0;
  if (connect_to(path, &error) || error == EAGAIN) busy(path);
}

// Binds to a path. If the path with its suffix is too long, it is reached through a descriptor of
// its folder.
void bind_at(int socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Fd folder;
  std::string name = path;
  if (name.size() >= sizeof(address.sun_path)) {
    folder.reset(open(folder_of(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) fail(path, errno);
    name = "/proc/self/fd/" + std::to_string(folder.get()) + path.substr(path.rfind('/'));
  }
  if (name.size() >= sizeof(address.sun_path)) fail(path, ENAMETOOLONG);
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  if (bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    fail(path, errno);
}

}  // namespace

Listener::Listener(std::string_view address, const Access& access) {
  bool is_default = false;
  std::string path = socket_path(address, &is_default);
  std::string lock_path = path + ".lock";
  prepare_folder(path, is_default, access.group);
  Fd held = take_lock(path, lock_path);
  check_vacant(path);

  const std::string fresh = path + ".new";
  struct stat found{};
  if (lstat(fresh.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(fresh.c_str());
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail(path, errno);
  // Set the mode before the socket has a name, so that its permissions are never wider than the
  // final ones.
  const mode_t mode = access.is_for_others ? 0666 : access.group >= 0 ? 0660 : 0600;
  if (fchmod(socket.get(), mode) != 0) fail(path, errno);
  bind_at(socket.get(), fresh);
  try {
    const auto group = static_cast<gid_t>(access.group);
    if (access.group >= 0 && lchown(fresh.c_str(), static_cast<uid_t>(-1), group) != 0)
      fail(path, errno);
    // bind has applied the umask to the mode, so set the mode again.
    if (mode != 0600 && chmod(fresh.c_str(), mode) != 0) fail(path, errno);
    if (::listen(socket.get(), kBacklog) != 0 || lstat(fresh.c_str(), &found) != 0)
      fail(path, errno);
    if (std::rename(fresh.c_str(), path.c_str()) != 0) fail(path, errno);
  } catch (...) {
    unlink(fresh.c_str());
    throw;
  }
  path_ = std::move(path);
  lock_path_ = std::move(lock_path);
  lock_ = std::move(held);
  socket_ = std::move(socket);
  device_ = found.st_dev;
  inode_ = found.st_ino;
}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this == &other) return *this;
  close();
  path_ = std::exchange(other.path_, std::string());
  lock_path_ = std::exchange(other.lock_path_, std::string());
  lock_ = std::move(other.lock_);
  socket_ = std::move(other.socket_);
  device_ = other.device_;
  inode_ = other.inode_;
  mark_ = other.mark_;
  return *this;
}

void Listener::close() noexcept {
  if (path_.empty()) return;
  if (!mark_.is_forked()) {
    struct stat found{};
    if (lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_)
      unlink(path_.c_str());
    // Remove the lock file before releasing the lock: a server that has already opened the file
    // then notices in take_lock() that it was removed, and creates another.
    unlink(lock_path_.c_str());
  }
  socket_.reset();
  lock_.reset();
  path_.clear();
}

}  // namespace sidecall::shm
