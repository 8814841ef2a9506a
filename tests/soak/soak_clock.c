/* Loaded before libfaketime into each process of the soak (soak_fleet.py). libfaketime moves the
 * wall clock. But two of its functions also move times of the monotonic clock, which a real step of
 * the wall clock leaves alone. Timers then fire hours too late, and waits end immediately. The
 * functions below pass these calls on to the C library. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/timerfd.h>

static int (*set_timer)(int, int, const struct itimerspec*, struct itimerspec*);
static int (*wait_until)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);

__attribute__((constructor)) static void find_functions(void) {
  void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc == NULL) abort();
  *(void**)&set_timer = dlsym(libc, "timerfd_settime");
  *(void**)&wait_until = dlsym(libc, "pthread_cond_timedwait");
}

__attribute__((visibility("default"))) int timerfd_settime(int fd, int flags,
                                                           const struct itimerspec* new_value,
                                                           struct itimerspec* old_value) {
  return set_timer(fd, flags, new_value, old_value);
}

__attribute__((visibility("default"))) int pthread_cond_timedwait(pthread_cond_t* condition,
                                                                  pthread_mutex_t* mutex,
                                                                  const struct timespec* until) {
  return wait_until(condition, mutex, until);
}
