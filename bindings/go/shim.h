/* shim.h: what takes several functions of the library, in one function. A call from Go into C costs
 * about 40 ns, and many arguments of Go cannot be put into a struct of C. */
#ifndef SIDECALL_GO_SHIM_H
#define SIDECALL_GO_SHIM_H

#include <sidecall/binding.h>
#include <stdlib.h>

/* A call of one workspace. With `values` or `numbers` it is a record: all features are set before
 * the run. With `num_columns` its answer is read after the run. The arrays belong to the
 * workspace. */
typedef struct sidecall_go_work {
  sidecall_call* call;
  sidecall_error* err;
  const sidecall_value* values; /* of all features of the model */
  const double* numbers;        /* instead of `values`, if all features are doubles */
  int64_t num_features;
  const int32_t* columns; /* NULL for all columns */
  sidecall_value* answer;
  int64_t num_columns; /* 0 if nothing is read */
  uint64_t run;        /* of the queue; that of the last submit */
} sidecall_go_work;

/* The address of a sidecall_go_work or sidecall_go_taken. An address that is a number saves a check
 * of the pointers that they hold, which all point to memory of C. */
typedef uintptr_t sidecall_go_address;

/* The run reports what setting refused. */
static inline void sidecall_go_set(const sidecall_go_work* work, int64_t row) {
  if (work->numbers)
    sidecall_call_set_row_f64(work->call, row, NULL, work->numbers, work->num_features, work->err);
  else if (work->values)
    sidecall_call_set_row(work->call, row, NULL, work->values, work->num_features, work->err);
}

/* Sets the record of a row whose run is started separately. */
static inline void sidecall_go_set_row(sidecall_go_address address, int64_t row) {
  sidecall_go_set((const sidecall_go_work*)address, row);
}

/* Reads the answer of a run that has ended with `status`. */
static inline sidecall_status sidecall_go_answer(const sidecall_go_work* work,
                                                 sidecall_status status) {
  if (status != SIDECALL_OK || work->num_columns == 0) return status;
  return sidecall_call_get_row(work->call, 0, work->columns, work->answer, work->num_columns,
                               work->err);
}

static inline sidecall_status sidecall_go_run(sidecall_go_address address, int64_t timeout_ns) {
  const sidecall_go_work* work = (const sidecall_go_work*)address;
  sidecall_go_set(work, 0);
  return sidecall_go_answer(work, sidecall_call_run(work->call, timeout_ns, work->err));
}

/* Submits a run, which other threads may take the completion of. */
static inline sidecall_status sidecall_go_submit(sidecall_queue* queue, sidecall_go_address address,
                                                 int64_t timeout_ns, uint64_t tag) {
  sidecall_go_work* work = (sidecall_go_work*)address;
  sidecall_go_set(work, 0);
  return sidecall_queue_submit(queue, work->call, timeout_ns, tag, &work->run, work->err);
}

/* Ends a run whose completion was taken: reads its error, or its answer. */
static inline sidecall_status sidecall_go_finish(sidecall_go_address address,
                                                 sidecall_status status) {
  const sidecall_go_work* work = (const sidecall_go_work*)address;
  if (status != SIDECALL_OK) return sidecall_call_error(work->call, work->err);
  return sidecall_go_answer(work, status);
}

#define SIDECALL_GO_MOST_TAKEN 64

typedef struct sidecall_go_taken {
  sidecall_completion completions[SIDECALL_GO_MOST_TAKEN];
} sidecall_go_taken;

/* Takes completions, and returns how many there are. */
static inline int64_t sidecall_go_take(sidecall_queue* queue, sidecall_go_address address,
                                       int64_t wait_ns) {
  sidecall_go_taken* taken = (sidecall_go_taken*)address;
  int64_t count = 0;
  sidecall_queue_take(queue, 0, taken->completions, sizeof taken->completions[0],
                      SIDECALL_GO_MOST_TAKEN, wait_ns, &count, NULL);
  return count;
}

/* A tensor in the memory of Go: its parts are arguments, because a struct of C must not hold
 * pointers of Go. */
static inline sidecall_view sidecall_go_view(int32_t dtype, const int64_t* dims, int32_t rank,
                                             const void* data, uint64_t data_bytes,
                                             const int64_t* offsets) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = rank;
  view.dims = dims;
  view.data = (void*)data;
  view.data_bytes = data_bytes;
  view.offsets = offsets;
  return view;
}

static inline sidecall_status sidecall_go_copy_input(sidecall_call* call, int32_t input,
                                                     int32_t dtype, const int64_t* dims,
                                                     int32_t rank, const void* data,
                                                     uint64_t data_bytes, const int64_t* offsets,
                                                     sidecall_error* err) {
  sidecall_view view = sidecall_go_view(dtype, dims, rank, data, data_bytes, offsets);
  return sidecall_call_copy_input(call, input, &view, err);
}

static inline sidecall_status sidecall_go_bind_input(sidecall_call* call, int32_t input,
                                                     int32_t dtype, const int64_t* dims,
                                                     int32_t rank, const void* data,
                                                     uint64_t data_bytes, const int64_t* offsets,
                                                     sidecall_error* err) {
  sidecall_view view = sidecall_go_view(dtype, dims, rank, data, data_bytes, offsets);
  return sidecall_call_bind_input(call, input, &view, err);
}

#endif
