/* What other raw approaches need from raw.c: ONNX Runtime, loaded once, and its sessions. */
#ifndef SIDECALL_BENCHMARKS_INPROC_RAW_H
#define SIDECALL_BENCHMARKS_INPROC_RAW_H

#include <onnxruntime_c_api.h>

const OrtApi* bench_raw_api(void);
/* Fails by bench_fail if the status is an error. */
void bench_raw_check(OrtStatus* status);
OrtSession* bench_raw_session_one_thread(const char* path, int arena);

#endif
