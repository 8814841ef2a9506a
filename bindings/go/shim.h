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
} sidecall_go_work;

/* The address of a sidecall_go_work or sidecall_go_runs. An address that is a number saves a check
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

/* Starts a run that sidecall_go_finish ends. It may have to connect first. */
static inline sidecall_status sidecall_go_start(sidecall_go_address address, int64_t timeout_ns) {
  const sidecall_go_work* work = (const sidecall_go_work*)address;
  sidecall_go_set(work, 0);
  return sidecall_call_start(work->call, timeout_ns, work->err);
}

/* Ends a run that was started, if it is over. */
static inline sidecall_status sidecall_go_poll(sidecall_go_address address) {
  const sidecall_go_work* work = (const sidecall_go_work*)address;
  return sidecall_go_answer(work, sidecall_call_finish(work->call, 0, work->err));
}

/* Waits for a run that was started. */
static inline sidecall_status sidecall_go_wait(sidecall_go_address address) {
  const sidecall_go_work* work = (const sidecall_go_work*)address;
  return sidecall_go_answer(work, sidecall_call_finish(work->call, -1, work->err));
}

/* Started runs, the oldest first. */
typedef struct sidecall_go_runs {
  int64_t count, capacity;
  sidecall_go_work** works;
  sidecall_status* statuses; /* of the last look; PENDING if the run is not over */
} sidecall_go_runs;

/* Returns 0 if there is no memory. */
static inline int32_t sidecall_go_add(sidecall_go_address address, sidecall_go_address work) {
  sidecall_go_runs* runs = (sidecall_go_runs*)address;
  if (runs->count == runs->capacity) {
    const int64_t capacity = runs->capacity == 0 ? 64 : 2 * runs->capacity;
    void* works = realloc(runs->works, (size_t)capacity * sizeof *runs->works);
    if (works == NULL) return 0;
    runs->works = works;
    void* statuses = realloc(runs->statuses, (size_t)capacity * sizeof *runs->statuses);
    if (statuses == NULL) return 0;
    runs->statuses = statuses;
    runs->capacity = capacity;
  }
  runs->works[runs->count++] = (sidecall_go_work*)work;
  return 1;
}

/* Looks for runs that are over, and returns how many there are. Runs end in about the order in
 * which they were started, so a look without a wait ends after two runs that are not over. With a
 * wait all runs are looked at, and if none is over, it waits at most so long for the oldest one. */
static inline int64_t sidecall_go_finish(sidecall_go_address address, int64_t wait_ns) {
  sidecall_go_runs* runs = (sidecall_go_runs*)address;
  int64_t over = 0, pending = 0;
  for (int64_t i = 0; i < runs->count; ++i) {
    const sidecall_go_work* work = runs->works[i];
    runs->statuses[i] = SIDECALL_PENDING;
    if (wait_ns == 0 && pending == 2) continue;
    runs->statuses[i] = sidecall_call_finish(work->call, 0, work->err);
    if (runs->statuses[i] == SIDECALL_PENDING) {
      ++pending;
    } else {
      runs->statuses[i] = sidecall_go_answer(work, runs->statuses[i]);
      ++over;
    }
  }
  if (over != 0 || wait_ns == 0 || runs->count == 0) return over;
  const sidecall_go_work* oldest = runs->works[0];
  runs->statuses[0] = sidecall_call_finish(oldest->call, wait_ns, oldest->err);
  if (runs->statuses[0] == SIDECALL_PENDING) return 0;
  runs->statuses[0] = sidecall_go_answer(oldest, runs->statuses[0]);
  return 1;
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
