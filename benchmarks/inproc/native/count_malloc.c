/* Counts allocations of the whole process. It is preloaded into bench-inproc, which reads the count
 * with bench_count_allocations(). */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* glibc's own entry points, because dlsym, the alternative, would itself allocate memory. */
extern void* __libc_malloc(size_t bytes);
extern void* __libc_calloc(size_t count, size_t bytes);
extern void* __libc_realloc(void* memory, size_t bytes);
extern void* __libc_memalign(size_t alignment, size_t bytes);

static atomic_long count;

int64_t bench_count_allocations(void) { return atomic_load(&count); }

void* malloc(size_t bytes) {
  atomic_fetch_add(&count, 1);
  return __libc_malloc(bytes);
}

void* calloc(size_t number, size_t bytes) {
  atomic_fetch_add(&count, 1);
  return __libc_calloc(number, bytes);
}

void* realloc(void* memory, size_t bytes) {
  atomic_fetch_add(&count, 1);
  return __libc_realloc(memory, bytes);
}

void* memalign(size_t alignment, size_t bytes) {
  atomic_fetch_add(&count, 1);
  return __libc_memalign(alignment, bytes);
}

void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void** out_memory, size_t alignment, size_t bytes) {
  *out_memory = memalign(alignment, bytes);
  return *out_memory == NULL ? ENOMEM : 0;
}
