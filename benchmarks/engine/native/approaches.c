/* The approaches of bench-engine. */
#include "../../inproc/native/bench.h"
#include "engine.h"

const bench_approach* const bench_approaches[] = {bench_raw,     bench_calls,   bench_generated,
                                                  bench_records, bench_engines, NULL};
