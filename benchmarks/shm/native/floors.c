/* The time that the machine itself needs for a round trip between two processes. The channel is
 * compared with these floors. */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

typedef struct lines {
  _Alignas(128) _Atomic uint64_t there;
  _Alignas(128) _Atomic uint64_t back;
} lines;

static void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/* Forks; the child continues on `cpu` and dies with this process. */
static pid_t fork_peer(int cpu) {
  const pid_t child = fork();
  if (child < 0) peer_fail("cannot fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    peer_pin(cpu);
  }
  return child;
}

static void end_peer(pid_t child) {
  kill(child, SIGKILL);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}

void peer_ping_cacheline(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns) {
  lines* shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (shared == MAP_FAILED) peer_fail("cannot map two cache lines");
  const pid_t child = fork_peer(peer_cpu);
  if (child == 0) {
    for (uint64_t next = 1;; ++next) {
      while (atomic_load_explicit(&shared->there, memory_order_acquire) != next) pause_cpu();
      atomic_store_explicit(&shared->back, next, memory_order_release);
    }
  }
  peer_pin(cpu);
  for (int64_t i = 0; i < warm_up + calls; ++i) {
    const uint64_t next = (uint64_t)i + 1;
    const int64_t start = peer_now_ns();
    atomic_store_explicit(&shared->there, next, memory_order_release);
    while (atomic_load_explicit(&shared->back, memory_order_acquire) != next) pause_cpu();
    if (i >= warm_up) out_ns[i - warm_up] = peer_now_ns() - start;
  }
  end_peer(child);
  munmap(shared, sizeof *shared);
}

typedef struct semaphores {
  sem_t there, back;
} semaphores;

static void await(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0 && errno == EINTR) continue;
}

void peer_ping_semaphore(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns) {
  semaphores* shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (shared == MAP_FAILED || sem_init(&shared->there, 1, 0) != 0 ||
      sem_init(&shared->back, 1, 0) != 0)
    peer_fail("cannot make semaphores");
  const pid_t child = fork_peer(peer_cpu);
  if (child == 0) {
    for (;;) {
      await(&shared->there);
      sem_post(&shared->back);
    }
  }
  peer_pin(cpu);
  for (int64_t i = 0; i < warm_up + calls; ++i) {
    const int64_t start = peer_now_ns();
    sem_post(&shared->there);
    await(&shared->back);
    if (i >= warm_up) out_ns[i - warm_up] = peer_now_ns() - start;
  }
  end_peer(child);
  munmap(shared, sizeof *shared);
}

static void exchange(int fd, int first) {
  char byte = 1;
  if (first && send(fd, &byte, 1, MSG_NOSIGNAL) != 1) _exit(1);
  if (recv(fd, &byte, 1, 0) != 1) _exit(1);
  if (!first && send(fd, &byte, 1, MSG_NOSIGNAL) != 1) _exit(1);
}

void peer_ping_socket(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    peer_fail("cannot make a socket pair");
  const pid_t child = fork_peer(peer_cpu);
  if (child == 0) {
    for (;;) exchange(ends[1], 0);
  }
  peer_pin(cpu);
  for (int64_t i = 0; i < warm_up + calls; ++i) {
    const int64_t start = peer_now_ns();
    exchange(ends[0], 1);
    if (i >= warm_up) out_ns[i - warm_up] = peer_now_ns() - start;
  }
  end_peer(child);
  close(ends[0]);
  close(ends[1]);
}
