/* Makes allocations and system calls of sidecall's code fail. errors.inc lists the functions that
 * can fail. The library is loaded with LD_PRELOAD, so programs call its functions instead of those
 * of the C library. Calls of other code, such as ONNX Runtime, Node.js or Python, never fail and
 * are not counted.
 *
 * A call is sidecall's if the innermost stack frame outside of the C and C++ libraries lies in
 * libsidecall, in the addon for Node.js or in the sidecall command. The module for Python is left
 * out, because pybind11, which is compiled into it, ends the process if it has no memory to call a
 * function.
 *
 * Thread-safe. The plan, the counts and the call sites are in memory that forked children share. If
 * the environment variable SIDECALL_INJECT_STATE names a file of sidecall_inject_state_bytes()
 * zeros, they are in that file, so programs that the process starts follow the plan too. */
#ifndef SIDECALL_TESTS_INJECT_H
#define SIDECALL_TESTS_INJECT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The functions that can fail are numbered from 0. Returns NULL for a number beyond the last. */
const char* sidecall_inject_name(int function);

/* The errors of a function, ending with 0. SIDECALL_INJECT_SHORT: transfer only one byte. */
#define SIDECALL_INJECT_SHORT (-1)
const int* sidecall_inject_errors(int function);

/* Plans that the n-th call of the function, counted from 1, and the `count - 1` calls after it fail
 * with this error. With n = 0 no call fails. Sets all counts to 0. */
void sidecall_inject_plan(int function, long n, int error, long count);

/* Plans that the first call from one call site fails, whichever call of its function that is. The
 * number is that of sidecall_inject_site. */
void sidecall_inject_plan_site(int number, int error);

/* Since the last plan: how many calls of one function were made, and how many calls failed. */
long sidecall_inject_count(int function);
long sidecall_inject_failed(void);

/* The name of the function that the last plan makes fail, or NULL. */
const char* sidecall_inject_planned(void);

size_t sidecall_inject_state_bytes(void);

/* From now on until sidecall_inject_stop(), calls are counted, call sites are noted, and calls fail
 * as planned. */
void sidecall_inject_start(void);
void sidecall_inject_stop(void);

/* Call sites: one for each function and return address in sidecall's code. `errors` has bit i set
 * if the i-th error of the function was injected there. Returns how many there are; fills at most
 * `space` of them. */
typedef struct sidecall_inject_site {
  int number; /* stays the same when further sites are found */
  char module[32];
  uint64_t offset; /* of the return address in the module's file */
  int function;
  uint32_t errors;
  int is_usual; /* 1 if a run without failures reached it, too */
} sidecall_inject_site;
size_t sidecall_inject_sites(sidecall_inject_site* sites, size_t space);

/* The number of the call site of the n-th call of a function since the last plan; -1 if there was
 * no such call, or for calls beyond the 16384th. */
int sidecall_inject_site_of_call(int function, long n);

/* How many blocks of memory sidecall's code in this process has allocated and not freed yet. */
size_t sidecall_inject_live_blocks(void);
/* Blocks are numbered in the order in which they are allocated. Returns the number of the last. */
uint64_t sidecall_inject_last_block(void);
/* Lists the live blocks whose number is above `since`, each with the stack that allocated it, in
 * lines of "BYTES module+offset module+offset ...". Returns the length of the text. */
size_t sidecall_inject_list_blocks(uint64_t since, char* text, size_t space);

#ifdef __cplusplus
}
#endif

#endif
