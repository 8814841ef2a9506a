/* shim.h: what takes several functions of the library, in one function. A call from Go into C costs
 * about 40 ns, and many arguments of Go cannot be put into a struct of C. */
#ifndef SIDECALL_GO_SHIM_H
#define SIDECALL_GO_SHIM_H

#include <sidecall/binding.h>
#include <stdlib.h>

/* A call of one workspace. With `features` it is a record: the features are set before the run.
 * With `num_columns` its answer is read after the run. The arrays belong to the workspace. */
typedef struct sidecall_go_work {
  sidecall_call *call;
  sidecall_error *err;
  const sidecall_value *features; /* all features of the model; NULL if they are set already */
  int64_t num_features;
  const int32_t *columns; /* NULL for all columns */
  sidecall_value *answer;
  int64_t num_columns; /* 0 if nothing is read */
} sidecall_go_work;

/* The run reports what setting refused. */
static inline void sidecall_go_set(const sidecall_go_work *work) {
  if (work->features)
    sidecall_call_set_row(work->call, 0, NULL, work->features, work->num_features, work->err);
}

/* Reads the answer of a run that has ended with `status`. */
static inline sidecall_status sidecall_go_answer(const sidecall_go_work *work,
                                                 sidecall_status status) {
  if (status != SIDECALL_OK || work->num_columns == 0) return status;
  return sidecall_call_get_row(work->call, 0, work->columns, work->answer, work->num_columns,
                               work->err);
}

static inline sidecall_status sidecall_go_run(const sidecall_go_work *work, int64_t timeout_ns) {
  sidecall_go_set(work);
  return sidecall_go_answer(work, sidecall_call_run(work->call, timeout_ns, work->err));
}

/* Starts a run that sidecall_go_finish ends. *started is 0 if starting would have to wait. */
static inline sidecall_status sidecall_go_start(const sidecall_go_work *work, int64_t timeout_ns,
                                                int32_t *started) {
  sidecall_go_set(work);
  return sidecall_call_try_start(work->call, timeout_ns, started, work->err);
}

/* Returns PENDING if the run is not over after wait_ns. */
static inline sidecall_status sidecall_go_finish(const sidecall_go_work *work, int64_t wait_ns) {
  return sidecall_go_answer(work, sidecall_call_finish(work->call, wait_ns, work->err));
}

/* A tensor in the memory of Go: its parts are arguments, because a struct of C must not hold
 * pointers of Go. */
static inline sidecall_view sidecall_go_view(int32_t dtype, const int64_t *dims, int32_t rank,
                                             const void *data, uint64_t data_bytes,
                                             const int64_t *offsets) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = rank;
  view.dims = dims;
  view.data = (void *)data;
  view.data_bytes = data_bytes;
  view.offsets = offsets;
  return view;
}

static inline sidecall_status sidecall_go_copy_input(sidecall_call *call, int32_t input,
                                                     int32_t dtype, const int64_t *dims,
                                                     int32_t rank, const void *data,
                                                     uint64_t data_bytes, const int64_t *offsets,
                                                     sidecall_error *err) {
  sidecall_view view = sidecall_go_view(dtype, dims, rank, data, data_bytes, offsets);
  return sidecall_call_copy_input(call, input, &view, err);
}

static inline sidecall_status sidecall_go_bind_input(sidecall_call *call, int32_t input,
                                                     int32_t dtype, const int64_t *dims,
                                                     int32_t rank, const void *data,
                                                     uint64_t data_bytes, const int64_t *offsets,
                                                     sidecall_error *err) {
  sidecall_view view = sidecall_go_view(dtype, dims, rank, data, data_bytes, offsets);
  return sidecall_call_bind_input(call, input, &view, err);
}

#endif
