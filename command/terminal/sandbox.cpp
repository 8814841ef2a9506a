// Confines the process with Landlock and seccomp; see sandbox.hpp.
#include "sandbox.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace sidecall::cli {
namespace {

std::string because(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

bool give_up_privileges() { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0; }

// ---- Files: Landlock ----

// Declarations of the kernel's interface. The headers of the system on which sidecall is built may
// be too old to have them.
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;  // on every processor
constexpr int kPathBeneath = 1, kNetPort = 2;

struct Ruleset {  // struct landlock_ruleset_attr of version 6
  uint64_t files, network, scopes;
};
struct __attribute__((packed)) PathBeneath {  // struct landlock_path_beneath_attr
  uint64_t allowed;
  int32_t folder;
};

struct NetPort {  // struct landlock_net_port_attr
  uint64_t allowed, port;
};

constexpr uint64_t right(int bit) { return UINT64_C(1) << bit; }
constexpr uint64_t kAllFiles = right(13) - 1;  // version 1
constexpr uint64_t kWriteFile = right(1), kReadFile = right(2), kReadFolder = right(3),
                   kRemoveFile = right(5), kMakeFile = right(8), kMakeSocket = right(9);
constexpr uint64_t kRefer = right(13);     // version 2
constexpr uint64_t kTruncate = right(14);  // version 3
constexpr uint64_t kBind = 1, kTcp = 3;    // version 4: bind and connect
constexpr uint64_t kDevices = right(15);   // version 5
constexpr uint64_t kScopes = 3;            // version 6: abstract sockets and signals

// What a server needs in the folder of its socket before confine_calls(): it makes a lock file and
// a socket, and removes those that a dead server left.
constexpr uint64_t kSocketFolder =
    kWriteFile | kReadFile | kReadFolder | kRemoveFile | kMakeFile | kMakeSocket | kTruncate;

Ruleset rules_of(long version) {
  Ruleset rules{kAllFiles, 0, 0};
  if (version >= 2) rules.files |= kRefer;
  if (version >= 3) rules.files |= kTruncate;
  if (version >= 4) rules.network = kTcp;
  if (version >= 5) rules.files |= kDevices;
  if (version >= 6) rules.scopes = kScopes;
  return rules;
}

class Descriptor {
 public:
  explicit Descriptor(long fd) : fd_(static_cast<int>(fd)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

bool allow(int ruleset, int path, uint64_t rights) {
  const PathBeneath rule{rights, path};
  return ::syscall(kAddRule, ruleset, kPathBeneath, &rule, 0) == 0;
}

// Returns whether the folder got these rights.
bool allow_below(int ruleset, const std::string& folder, uint64_t rights) {
  const Descriptor opened(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return opened.get() >= 0 && allow(ruleset, opened.get(), rights);
}

bool has_other_threads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/task"), ::closedir);
  if (folder == nullptr) return true;
  int count = 0;
  while (const dirent* entry = ::readdir(folder.get())) count += entry->d_name[0] == '.' ? 0 : 1;
  return count != 1;
}

// ---- System calls: seccomp ----

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

constexpr int kPidfdOpen = 434, kClone3 = 435;  // on every processor; old headers lack them

// The system calls of a running server: those of its engine threads and its control thread, for
// memory, for waiting, and for the end of the process. None of them opens a file by its path,
// connects to another process or starts a program.
// clang-format off
constexpr int kAllowed[] = {
    // The kernel compares in this order, so the system calls that serve each request come first.
    SYS_recvmsg, SYS_epoll_pwait, SYS_futex, SYS_write, SYS_read, SYS_ppoll,
    SYS_recvfrom, SYS_sched_yield, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep,
    SYS_gettimeofday, SYS_getpid, SYS_gettid, SYS_getcpu, SYS_munmap, SYS_mremap, SYS_brk,
    SYS_close, SYS_epoll_ctl, SYS_accept4, SYS_shutdown, SYS_getsockopt, SYS_memfd_create,
    SYS_ftruncate, SYS_fallocate, SYS_eventfd2, SYS_fstat, SYS_newfstatat, SYS_lseek, SYS_pread64,
    SYS_readv, SYS_writev, SYS_getrandom,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_sigaltstack, SYS_restart_syscall, SYS_set_robust_list, SYS_membarrier,
    SYS_sched_getaffinity, SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_getuid, SYS_geteuid,
    SYS_getgid, SYS_getegid, SYS_exit, SYS_exit_group,
#ifdef SYS_epoll_wait
    SYS_epoll_wait, SYS_poll,
#endif
#ifdef SYS_stat  // what stat() calls in programs that were linked with glibc before 2.33
    SYS_stat, SYS_lstat,
#endif
    kPidfdOpen,
#ifdef SYS_rseq
    SYS_rseq,
#endif
};
// clang-format on

// Builds a filter for seccomp: a program that reads struct seccomp_data.
class Filter {
 public:
  Filter() {
    load(offsetof(seccomp_data, arch));
    // The numbers of system calls differ between architectures.
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
  }

  void allow(long call) { answer_if(call, SECCOMP_RET_ALLOW); }
  void fail(long call, uint32_t error) { answer_if(call, SECCOMP_RET_ERRNO | error); }

  // Allows the call if the upper half of the argument is 0, and (lower half & mask) is one of the
  // values. Otherwise it fails with EPERM.
  void allow_if(long call, int argument, uint32_t mask, std::initializer_list<uint32_t> values) {
    std::vector<sock_filter> test = load_lower_half(argument);
    test.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
    for (const uint32_t value : values) {
      test.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
      test.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    add(call, std::move(test));
  }

  // Allows the call if two arguments, whose upper halves must be 0, have one of these pairs of
  // values. Otherwise it fails with EPERM.
  void allow_if_both(long call, int first, int second,
                     std::initializer_list<std::pair<uint32_t, uint32_t>> values) {
    std::vector<sock_filter> test;
    for (const auto& [first_value, second_value] : values) {
      const std::vector<sock_filter> one = load_lower_half(first), other = load_lower_half(second);
      const auto rest = static_cast<uint8_t>(other.size() + 2);
      test.insert(test.end(), one.begin(), one.end());
      test.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first_value, 0, rest));
      test.insert(test.end(), other.begin(), other.end());
      test.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second_value, 0, 1));
      test.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    add(call, std::move(test));
  }

  std::vector<sock_filter>& finish() {
    answer(SECCOMP_RET_ERRNO | EPERM);
    return code_;
  }

 private:
  // Loads the lower half of an argument. Fails with EPERM if the upper half is not 0.
  static std::vector<sock_filter> load_lower_half(int argument) {
    const size_t where = offsetof(seccomp_data, args) + sizeof(uint64_t) * size_t(argument);
    return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(where + 4)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(where))};
  }
  // Adds a test of the arguments of a call, which fails if the test has not returned.
  void add(long call, std::vector<sock_filter> test) {
    test.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0,
                             static_cast<uint8_t>(test.size())));
    code_.insert(code_.end(), test.begin(), test.end());
  }
  void load(size_t offset) {
    code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  }
  void answer(uint32_t value) { code_.push_back(BPF_STMT(BPF_RET | BPF_K, value)); }
  void answer_if(long call, uint32_t value) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    answer(value);
  }

  std::vector<sock_filter> code_;
};

}  // namespace

std::string close_inherited(int keep) {
  const auto closes = [](unsigned first, unsigned last) {
    constexpr long kCloseRange = 436;  // on every processor, since Linux 5.9
    return first > last || ::syscall(kCloseRange, first, last, 0) == 0;
  };
  const bool is_done = keep < 3 ? closes(3, UINT_MAX)
                                : closes(3, static_cast<unsigned>(keep) - 1) &&
                                      closes(static_cast<unsigned>(keep) + 1, UINT_MAX);
  return is_done ? "" : because("cannot close the descriptors that this process inherited");
}

std::string confine_files(const Needs& needs) {
  constexpr uint32_t kVersionFlag = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  const long version = ::syscall(kCreateRuleset, nullptr, 0, kVersionFlag);
  if (version < 1) return because("this kernel has no Landlock");
  const Ruleset rules = rules_of(version);
  const size_t size = version >= 6   ? sizeof rules
                      : version >= 4 ? offsetof(Ruleset, scopes)
                                     : offsetof(Ruleset, network);
  const Descriptor ruleset(::syscall(kCreateRuleset, &rules, size, 0));
  if (ruleset.get() < 0) return because("Landlock: cannot make a ruleset");
  if (!needs.read_folders.empty() && has_other_threads())
    return "Landlock: the process has threads that would not be confined";
  for (const std::string& folder : needs.socket_folders)
    if (!allow_below(ruleset.get(), folder, kSocketFolder & rules.files))
      return because("Landlock: cannot allow the folder of a socket");
  for (const std::string& folder : needs.read_folders)
    if (!allow_below(ruleset.get(), folder, kReadFile))
      return because("Landlock: cannot allow the folder of a file");
  for (const uint64_t port : needs.ports) {
    const NetPort rule{kBind, port};
    if (version >= 4 && ::syscall(kAddRule, ruleset.get(), kNetPort, &rule, 0) != 0)
      return because("Landlock: cannot allow a port");
  }
  // The server reads overflowuid, the user id that stands for unknown users. confine_calls() opens
  // /dev/null.
  for (const char* path : {"/proc/sys/kernel/overflowuid", "/dev/null"}) {
    const Descriptor file(::open(path, O_PATH | O_CLOEXEC));
    if (file.get() >= 0 && !allow(ruleset.get(), file.get(), kReadFile | kWriteFile))
      return because("Landlock: cannot add a rule");
  }
  if (!give_up_privileges()) return because("cannot give up privileges");
  if (::syscall(kRestrictSelf, ruleset.get(), 0) != 0)
    return because("Landlock: cannot confine this process");
  return "";
}

std::string confine_calls(bool may_read) {
  if (kArchitecture == 0) return "seccomp: no filter for this processor";
  if ((::personality(0xffffffff) & READ_IMPLIES_EXEC) != 0)
    return "this process runs with READ_IMPLIES_EXEC, so all of its memory is executable";
  const Descriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (nothing.get() < 0 || ::dup2(nothing.get(), 0) < 0 || ::dup2(nothing.get(), 1) < 0)
    return because("cannot open /dev/null");
  Filter filter;
  // With MSG_FASTOPEN, sendmsg() connects a socket, and Landlock does not see that.
  filter.allow_if(SYS_sendmsg, 2, MSG_FASTOPEN, {0});
  // send() is a sendto() without an address.
  filter.allow_if(SYS_sendto, 4, UINT32_MAX, {0});
  for (const int call : kAllowed) filter.allow(call);
  // Not for writing or creating, and not O_PATH.
  if (may_read)
    filter.allow_if(SYS_openat, 2, ~static_cast<uint32_t>(O_CLOEXEC | O_LARGEFILE | O_NOFOLLOW),
                    {O_RDONLY});
  // With executable memory a model could run code that it brings along.
  filter.allow_if(SYS_mmap, 2, PROT_EXEC, {0});
  filter.allow_if(SYS_mprotect, 2, PROT_EXEC, {0});
  filter.allow_if(SYS_madvise, 2, UINT32_MAX, {MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE});
  // Other commands are not allowed: F_SETOWN could make the kernel signal another process.
  filter.allow_if(SYS_fcntl, 1, UINT32_MAX,
                  {F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS});
  // A thread may change its own priority, and no other.
  filter.allow_if_both(SYS_setpriority, 0, 1, {{PRIO_PROCESS, 0}});
  // At other levels the same number is another option.
  filter.allow_if_both(SYS_setsockopt, 1, 2,
                       {{SOL_SOCKET, SO_RCVTIMEO}, {IPPROTO_TCP, TCP_QUICKACK}});
  filter.allow_if(SYS_ioctl, 1, UINT32_MAX, {SIOCOUTQ, FIONREAD});
  filter.allow_if(SYS_prctl, 0, UINT32_MAX, {PR_SET_NAME});
  // clone may make a thread, not a process. The flags of clone3 are in memory, where no filter can
  // see them, so clone3 fails with ENOSYS, and glibc then uses clone.
  filter.allow_if(SYS_clone, 0, CLONE_THREAD, {CLONE_THREAD});
  filter.fail(kClone3, ENOSYS);
  // abort() sends a signal to its own process. No other process may be signalled.
  filter.allow_if(SYS_tgkill, 0, UINT32_MAX, {static_cast<uint32_t>(::getpid())});
  std::vector<sock_filter>& code = filter.finish();
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (!give_up_privileges()) return because("cannot give up privileges");
  const long result =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (result > 0) return "seccomp: a thread has a filter of its own";
  return result == 0 ? "" : because("seccomp: cannot set a filter");
}

}  // namespace sidecall::cli
