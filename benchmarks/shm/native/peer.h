/* Shared by the programs of benchmarks/shm: the sizes of the echo, a clock, error exit, and the
 * answer to run.py. */
#ifndef SIDECALL_BENCHMARKS_SHM_PEER_H
#define SIDECALL_BENCHMARKS_SHM_PEER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The echo: the request has the size of a row of the gradient boosting model, the answer has the
 * size of a label and two probabilities. The answer holds the row's first value, which depends on
 * the number of the call, and its last two values. */
#define PEER_ROW 30
#define PEER_ANSWER 3

/* Prints "error ..." as the answer to run.py and ends the program. */
void peer_fail(const char* format, ...) __attribute__((format(printf, 1, 2), noreturn));

void* peer_alloc(size_t bytes); /* zeroed, aligned to a cache line */
int64_t peer_now_ns(void);
void peer_pin(int cpu); /* -1 does not pin the thread */

/* Writes "ok NUMBERS ANSWERS", then the int64 numbers, then the float64 answers. */
void peer_answer(const int64_t* numbers, int64_t num_numbers, const double* answers,
                 int64_t num_answers);

/* floors.c. These functions time `calls` round trips with a child process, which they fork. They
 * use two cache lines that are polled, one byte over a SEQPACKET socket with blocking reads, and
 * one blocking semaphore in each direction. The two processes run on the given CPUs. */
void peer_ping_cacheline(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns);
void peer_ping_socket(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns);
void peer_ping_semaphore(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns);

#ifdef __cplusplus
}
#endif
#endif
