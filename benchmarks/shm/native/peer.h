/* What the programs of benchmarks/shm share: the echo's sizes, a clock, failing, and the answer to run.py. */
#ifndef SIDECALL_BENCHMARKS_SHM_PEER_H
#define SIDECALL_BENCHMARKS_SHM_PEER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The echo: a row of the gradient boosting goes in, label and two probabilities come back: its last value, number in front. */
#define PEER_ROW 30
#define PEER_ANSWER 3

/* Prints "error ..." as the answer to run.py and ends the program. */
void peer_fail(const char* format, ...) __attribute__((format(printf, 1, 2), noreturn));

void* peer_alloc(size_t bytes); /* zeroed, aligned to a cache line */
int64_t peer_now_ns(void);
void peer_pin(int cpu); /* -1 leaves the thread where it is */

/* "ok NUMBERS ANSWERS", that many int64, that many float64. */
void peer_answer(const int64_t* numbers, int64_t num_numbers, const double* answers,
                 int64_t num_answers);

/* floors.c: times `calls` round trips with a child process that is forked for it: two cache lines, polled; one byte over a SEQPACKET socket, with blocking
 * reads; a semaphore each, blocking. The two run on the given CPUs. */
void peer_ping_cacheline(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns);
void peer_ping_socket(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns);
void peer_ping_semaphore(int cpu, int peer_cpu, int64_t calls, int64_t warm_up, int64_t* out_ns);

#ifdef __cplusplus
}
#endif
#endif
