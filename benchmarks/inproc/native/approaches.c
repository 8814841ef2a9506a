/* The approaches of bench-inproc. */
#include <stddef.h>

#include "bench.h"

const bench_approach* const bench_approaches[] = {bench_raw, bench_calls, bench_generated, NULL};
