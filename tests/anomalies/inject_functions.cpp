// The functions that stand in front of those of the C and C++ libraries; see inject.h.
#include "inject_functions.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <new>

// flock is the name of a function and of a struct.
#pragma GCC diagnostic ignored "-Wshadow"

#define CALLER __builtin_return_address(0)

namespace {

// Finds the function of this name in the libraries that are searched after this one. dlsym() may
// allocate. This works, because malloc() below calls __libc_malloc() and does not need dlsym().
void* real_function(int function, const char* name) {
  static std::atomic<void*> found[inject::kNumFunctions];
  void* known = found[function].load(std::memory_order_acquire);
  if (known == nullptr) {
    known = dlsym(RTLD_NEXT, name);
    found[function].store(known, std::memory_order_release);
  }
  return known;
}

}  // namespace

#define REAL(name) (reinterpret_cast<decltype(&::name)>(real_function(inject::k_##name, #name)))

namespace inject {

void* mmap_unchecked(size_t bytes, int sharing) {
  return REAL(mmap)(nullptr, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
}

void* map_file_unchecked(const char* path, size_t bytes) {
  const int fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
  void* const memory = REAL(mmap)(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return memory;
}

}  // namespace inject

extern "C" {

// ---- Memory ----

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t bytes) {
  if (const int error = inject::error_of_call(inject::k_malloc, CALLER)) {
    errno = error;
    return nullptr;
  }
  void* const memory = __libc_malloc(bytes);
  inject::note_block(memory, bytes, CALLER);
  return memory;
}

void* calloc(size_t count, size_t bytes) {
  if (const int error = inject::error_of_call(inject::k_calloc, CALLER)) {
    errno = error;
    return nullptr;
  }
  void* const memory = __libc_calloc(count, bytes);
  inject::note_block(memory, count * bytes, CALLER);
  return memory;
}

void* realloc(void* old, size_t bytes) {
  if (const int error = inject::error_of_call(inject::k_realloc, CALLER)) {
    errno = error;
    return nullptr;
  }
  inject::forget_block(old);
  void* const memory = __libc_realloc(old, bytes);
  inject::note_block(memory, bytes, CALLER);
  return memory;
}

void free(void* memory) {
  inject::forget_block(memory);
  __libc_free(memory);
}

// ---- Functions of the C library ----

// A function that returns `failure` and sets errno.
#define WRAP(type, name, parameters, arguments, failure)                     \
  type name parameters {                                                     \
    if (const int error = inject::error_of_call(inject::k_##name, CALLER)) { \
      errno = error;                                                         \
      return failure;                                                        \
    }                                                                        \
    return REAL(name) arguments;                                             \
  }

WRAP(int, accept4, (int fd, sockaddr* address, socklen_t* length, int flags),
     (fd, address, length, flags), -1)
WRAP(int, access, (const char* path, int mode), (path, mode), -1)
WRAP(int, bind, (int fd, const sockaddr* address, socklen_t length), (fd, address, length), -1)
WRAP(int, chmod, (const char* path, mode_t mode), (path, mode), -1)
WRAP(int, connect, (int fd, const sockaddr* address, socklen_t length), (fd, address, length), -1)
WRAP(int, dup, (int fd), (fd), -1)
WRAP(int, dup2, (int fd, int to), (fd, to), -1)
WRAP(int, epoll_create1, (int flags), (flags), -1)
WRAP(int, epoll_ctl, (int fd, int operation, int other, epoll_event* event),
     (fd, operation, other, event), -1)
WRAP(int, epoll_wait, (int fd, epoll_event* events, int count, int timeout),
     (fd, events, count, timeout), -1)
WRAP(int, eventfd, (unsigned count, int flags), (count, flags), -1)
WRAP(int, execve, (const char* path, char* const* arguments, char* const* environment),
     (path, arguments, environment), -1)
WRAP(int, fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group), -1)
WRAP(int, flock, (int fd, int operation), (fd, operation), -1)
WRAP(FILE*, fopen, (const char* path, const char* mode), (path, mode), nullptr)
WRAP(FILE*, fopen64, (const char* path, const char* mode), (path, mode), nullptr)
WRAP(size_t, fread, (void* to, size_t size, size_t count, FILE* file), (to, size, count, file), 0)
WRAP(int, fseek, (FILE * file, long offset, int whence), (file, offset, whence), -1)
WRAP(long, ftell, (FILE * file), (file), -1)
WRAP(int, fstat, (int fd, struct stat* found), (fd, found), -1)
WRAP(int, fstatfs, (int fd, struct statfs* found), (fd, found), -1)
WRAP(int, ftruncate, (int fd, off_t length), (fd, length), -1)
WRAP(int, getpeername, (int fd, sockaddr* address, socklen_t* length), (fd, address, length), -1)
WRAP(int, getsockname, (int fd, sockaddr* address, socklen_t* length), (fd, address, length), -1)
WRAP(ssize_t, getrandom, (void* to, size_t bytes, unsigned flags), (to, bytes, flags), -1)
WRAP(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* length),
     (fd, level, name, value, length), -1)
WRAP(int, kill, (pid_t process, int number), (process, number), -1)
WRAP(int, lchown, (const char* path, uid_t user, gid_t group), (path, user, group), -1)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), -1)
WRAP(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence), -1)
WRAP(int, lstat, (const char* path, struct stat* found), (path, found), -1)
WRAP(int, memfd_create, (const char* name, unsigned flags), (name, flags), -1)
WRAP(int, mkdir, (const char* path, mode_t mode), (path, mode), -1)
WRAP(void*, mmap, (void* at, size_t bytes, int protection, int flags, int fd, off_t offset),
     (at, bytes, protection, flags, fd, offset), MAP_FAILED)
WRAP(DIR*, opendir, (const char* path), (path), nullptr)
WRAP(int, pipe2, (int* ends, int flags), (ends, flags), -1)
WRAP(int, poll, (pollfd * fds, nfds_t count, int timeout), (fds, count, timeout), -1)
WRAP(int, ppoll, (pollfd * fds, nfds_t count, const timespec* timeout, const sigset_t* mask),
     (fds, count, timeout, mask), -1)
WRAP(dirent*, readdir, (DIR * folder), (folder), nullptr)
WRAP(ssize_t, readlink, (const char* path, char* to, size_t bytes), (path, to, bytes), -1)
WRAP(ssize_t, readlinkat, (int folder, const char* path, char* to, size_t bytes),
     (folder, path, to, bytes), -1)
WRAP(char*, realpath, (const char* path, char* resolved), (path, resolved), nullptr)
WRAP(ssize_t, recv, (int fd, void* to, size_t bytes, int flags), (fd, to, bytes, flags), -1)
WRAP(ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags), -1)
WRAP(int, rename, (const char* from, const char* to), (from, to), -1)
WRAP(int, sched_getaffinity, (pid_t process, size_t bytes, cpu_set_t* set), (process, bytes, set),
     -1)
WRAP(int, setpriority, (__priority_which_t which, id_t who, int priority), (which, who, priority),
     -1)
WRAP(ssize_t, send, (int fd, const void* from, size_t bytes, int flags), (fd, from, bytes, flags),
     -1)
WRAP(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags), -1)
WRAP(int, setenv, (const char* name, const char* value, int overwrite), (name, value, overwrite),
     -1)
WRAP(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t length),
     (fd, level, name, value, length), -1)
WRAP(int, shutdown, (int fd, int how), (fd, how), -1)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1)
WRAP(int, socketpair, (int domain, int type, int protocol, int* ends),
     (domain, type, protocol, ends), -1)
WRAP(int, stat, (const char* path, struct stat* found), (path, found), -1)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1)
WRAP(int, timerfd_settime, (int fd, int flags, const itimerspec* when, itimerspec* old),
     (fd, flags, when, old), -1)
WRAP(int, unlink, (const char* path), (path), -1)
WRAP(int, waitid, (idtype_t type, id_t id, siginfo_t* found, int options),
     (type, id, found, options), -1)
WRAP(ssize_t, writev, (int fd, const iovec* parts, int count), (fd, parts, count), -1)

// Functions that return their error instead of setting errno.
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) {
  if (const int error = inject::error_of_call(inject::k_pthread_create, CALLER)) return error;
  return REAL(pthread_create)(thread, attributes, body, argument);
}

int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** found) {
  if (const int error = inject::error_of_call(inject::k_getaddrinfo, CALLER)) return error;
  return REAL(getaddrinfo)(host, service, hints, found);
}

int getnameinfo(const sockaddr* address, socklen_t length, char* host, socklen_t host_length,
                char* service, socklen_t service_length, int flags) {
  if (const int error = inject::error_of_call(inject::k_getnameinfo, CALLER)) return error;
  return REAL(getnameinfo)(address, length, host, host_length, service, service_length, flags);
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left) {
  if (const int error = inject::error_of_call(inject::k_clock_nanosleep, CALLER)) {
    if (left != nullptr) *left = *time;
    return error;
  }
  return REAL(clock_nanosleep)(clock, flags, time, left);
}

int nanosleep(const timespec* time, timespec* left) {
  if (const int error = inject::error_of_call(inject::k_nanosleep, CALLER)) {
    if (left != nullptr) *left = *time;
    errno = error;
    return -1;
  }
  return REAL(nanosleep)(time, left);
}

// Functions that may transfer less than they were asked for. Calls on an eventfd or a timerfd, for
// which fstat() reports no file type, are not made to fail: they cannot have these errors, because
// sidecall's do not block.
int error_of_transfer(int function, int fd, void* caller) {
  struct stat found{};
  const bool has_type = REAL(fstat)(fd, &found) == 0 && (found.st_mode & S_IFMT) != 0;
  return has_type ? inject::error_of_call(function, caller) : 0;
}

#define WRAP_TRANSFER(name, parameters, arguments, arguments_for_one_byte)              \
  ssize_t name parameters {                                                             \
    const int error = error_of_transfer(inject::k_##name, fd, CALLER);                  \
    if (error == inject::kShort && bytes > 1) return REAL(name) arguments_for_one_byte; \
    if (error > 0) {                                                                    \
      errno = error;                                                                    \
      return -1;                                                                        \
    }                                                                                   \
    return REAL(name) arguments;                                                        \
  }

WRAP_TRANSFER(read, (int fd, void* to, size_t bytes), (fd, to, bytes), (fd, to, 1))
WRAP_TRANSFER(pread, (int fd, void* to, size_t bytes, off_t offset), (fd, to, bytes, offset),
              (fd, to, 1, offset))
WRAP_TRANSFER(write, (int fd, const void* from, size_t bytes), (fd, from, bytes), (fd, from, 1))

// Functions with an optional argument, which is passed on as a word.
#define WRAP_VARIABLE(name, parameters, last, arguments)                     \
  int name parameters {                                                      \
    va_list rest;                                                            \
    va_start(rest, last);                                                    \
    void* const word = va_arg(rest, void*);                                  \
    va_end(rest);                                                            \
    if (const int error = inject::error_of_call(inject::k_##name, CALLER)) { \
      errno = error;                                                         \
      return -1;                                                             \
    }                                                                        \
    return REAL(name) arguments;                                             \
  }

WRAP_VARIABLE(fcntl, (int fd, int command, ...), command, (fd, command, word))
WRAP_VARIABLE(fcntl64, (int fd, int command, ...), command, (fd, command, word))
WRAP_VARIABLE(ioctl, (int fd, unsigned long command, ...), command, (fd, command, word))
WRAP_VARIABLE(open, (const char* path, int flags, ...), flags, (path, flags, word))
WRAP_VARIABLE(openat, (int folder, const char* path, int flags, ...), flags,
              (folder, path, flags, word))

void* mremap(void* at, size_t old_bytes, size_t bytes, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  void* const fresh = va_arg(rest, void*);
  va_end(rest);
  if (const int error = inject::error_of_call(inject::k_mremap, CALLER)) {
    errno = error;
    return MAP_FAILED;
  }
  return REAL(mremap)(at, old_bytes, bytes, flags, fresh);
}

long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long words[6];
  for (long& word : words) word = va_arg(rest, long);
  va_end(rest);
  // A futex call cannot have these errors, and SYS_getrandom only the first.
  const int planned = number == SYS_futex ? 0 : inject::error_of_call(inject::k_syscall, CALLER);
  const int error = number == SYS_getrandom && planned != ENOSYS ? 0 : planned;
  if (error != 0) {
    errno = error;
    return -1;
  }
  return REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // extern "C"

// ---- The beginning ----

namespace {

int (*g_main)(int, char**, char**);

int main_of_program(int argc, char** argv, char** environment) {
  inject::reach_main();
  return g_main(argc, argv, environment);
}

}  // namespace

extern "C" int __libc_start_main(int (*main)(int, char**, char**), int argc, char** argv,
                                 void (*init)(), void (*fini)(), void (*rtld_fini)(), void* end) {
  g_main = main;
  const auto next =
      reinterpret_cast<decltype(&__libc_start_main)>(dlsym(RTLD_NEXT, "__libc_start_main"));
  return next(main_of_program, argc, argv, init, fini, rtld_fini, end);
}

// ---- Memory of C++ ----

namespace {

void* allocate(size_t bytes, size_t alignment, void* caller) {
  if (inject::error_of_call(inject::k_operator_new, caller) != 0) return nullptr;
  void* const memory = alignment == 0 ? __libc_malloc(bytes == 0 ? 1 : bytes)
                                      : __libc_memalign(alignment, bytes == 0 ? 1 : bytes);
  inject::note_block(memory, bytes, caller);
  return memory;
}

void* allocate_or_throw(size_t bytes, size_t alignment, void* caller) {
  void* const memory = allocate(bytes, alignment, caller);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return allocate_or_throw(bytes, 0, CALLER); }
void* operator new[](size_t bytes) { return allocate_or_throw(bytes, 0, CALLER); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<size_t>(alignment), CALLER);
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<size_t>(alignment), CALLER);
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 0, CALLER);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 0, CALLER);
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete[](void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t) noexcept { free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { free(memory); }
