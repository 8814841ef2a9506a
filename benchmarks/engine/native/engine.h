/* The native approaches of benchmarks/engine, and the folder of a workload of records. */
#ifndef SIDECALL_BENCHMARKS_ENGINE_H
#define SIDECALL_BENCHMARKS_ENGINE_H

#include "../../inproc/native/bench.h"

extern const bench_approach bench_records[]; /* records.c, raw_records.c */
extern const bench_approach bench_engines[]; /* engines.c */

/* In a workload of records, a column of features.f64 that stands for strings holds line numbers of
 * strings.txt, counted from 0. NaN means that the value is missing. */
typedef struct records {
  const bench_workload* workload;
  int32_t width;
  struct records_column {
    int is_string;
    char name[64];  /* of the feature */
    char input[64]; /* of the tensor */
  }* columns;       /* from columns.txt */
  char** strings;
  size_t* lengths;
  int32_t num_labels; /* 0 if the labels are numbers */
  char** labels;      /* from labels.txt */
  char *text, *label_text;
} records;

/* The answer of one row; `classes` probabilities follow. */
typedef struct records_answer {
  int64_t label; /* unless the labels are strings */
  size_t label_length;
  char label_text[48];
} records_answer;

void records_open(records* all, const bench_workload* workload);
void records_close(records* all);
size_t records_answer_bytes(const bench_workload* workload);
void records_decode(const records* all, const void* slot, double* answers);

/* raw_records.c. Approaches on ONNX Runtime with a kept binding, without and with its arena. */
bench_state* raw_records_open(const bench_workload* workload);
bench_state* raw_records_open_arena(const bench_workload* workload);
void raw_records_run(bench_state* base, int64_t row, void* slot);
void raw_records_decode(bench_state* base, const void* slot, double* answers);
void raw_records_close(bench_state* base);

#endif
