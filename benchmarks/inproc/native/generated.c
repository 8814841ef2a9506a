/* Approaches that use the LightGBM twin of the GBM: LightGBM's own single-row C API, and the C code
 * that m2cgen generates from the twin. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Copied from LightGBM's c_api.h, which its Python package does not include. */
#define C_API_DTYPE_FLOAT64 1
#define C_API_PREDICT_NORMAL 0
typedef int (*create_booster_fn)(const char* file, int* out_iterations, void** out_booster);
typedef int (*init_fast_fn)(void* booster, int predict_type, int start, int iterations, int dtype,
                            int32_t columns, const char* params, void** out_config);
typedef int (*predict_fast_fn)(void* config, const void* row, int64_t* out_length,
                               double* out_result);
typedef int (*free_fn)(void* handle);

typedef void (*score_fn)(const double* input, double* output); /* m2cgen omits const */

typedef struct twin_state {
  bench_state base;
  const bench_workload* workload;
  void* library;

  void* booster;
  void* config;
  predict_fast_fn predict;

  score_fn score;
} twin_state;

void* bench_symbol(void* library, const char* name) {
  void* found = library == NULL ? NULL : dlsym(library, name);
  if (found == NULL) bench_fail("no symbol '%s': %s", name, dlerror());
  return found;
}

static twin_state* open_twin(const bench_workload* workload) {
  twin_state* state = bench_alloc(sizeof *state);
  state->workload = workload;
  state->base.slot_bytes = (size_t)workload->rows * 2 * sizeof(double);
  return state;
}

static bench_state* open_lightgbm(const bench_workload* workload) {
  const char* library = getenv("BENCH_LIGHTGBM");
  if (workload->rows != 1) bench_fail("lightgbm_single_row: expected 1 row");
  if (library == NULL) bench_fail("BENCH_LIGHTGBM: expected the path of lib_lightgbm.so");
  twin_state* state = open_twin(workload);
  state->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  create_booster_fn create = NULL;
  init_fast_fn init = NULL;
  *(void**)&create = bench_symbol(state->library, "LGBM_BoosterCreateFromModelfile");
  *(void**)&init = bench_symbol(state->library, "LGBM_BoosterPredictForMatSingleRowFastInit");
  *(void**)&state->predict = bench_symbol(state->library, "LGBM_BoosterPredictForMatSingleRowFast");
  char* path = bench_path(workload->folder, "twin.txt");
  int iterations = 0;
  if (create(path, &iterations, &state->booster) != 0)
    bench_fail("lightgbm: cannot read '%s'", path);
  free(path);
  if (init(state->booster, C_API_PREDICT_NORMAL, 0, -1, C_API_DTYPE_FLOAT64,
           (int32_t)workload->width, "num_threads=1", &state->config) != 0) {
    bench_fail("lightgbm: no fast configuration");
  }
  return &state->base;
}

static void run_lightgbm(bench_state* base, int64_t row, void* slot) {
  twin_state* state = (twin_state*)base;
  int64_t length = 0;
  if (state->predict(state->config, state->workload->features + row * state->workload->width,
                     &length, slot) != 0)
    bench_fail("lightgbm: a call failed");
}

/* LightGBM returns only the probability of class 1. */
static void decode_lightgbm(bench_state* base, const void* slot, double* answers) {
  (void)base;
  double probability = 0;
  memcpy(&probability, slot, sizeof probability);
  answers[0] = -1;
  answers[1] = 1 - probability;
  answers[2] = probability;
}

static void close_twin(bench_state* base) {
  twin_state* state = (twin_state*)base;
  if (state->booster != NULL) {
    free_fn free_config = NULL, free_booster = NULL;
    *(void**)&free_config = bench_symbol(state->library, "LGBM_FastConfigFree");
    *(void**)&free_booster = bench_symbol(state->library, "LGBM_BoosterFree");
    free_config(state->config);
    free_booster(state->booster);
  }
  dlclose(state->library);
  free(state);
}

static bench_state* open_m2cgen(const bench_workload* workload) {
  twin_state* state = open_twin(workload);
  char* path = bench_path(workload->folder, "twin.so");
  state->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  *(void**)&state->score = bench_symbol(state->library, "score");
  free(path);
  return &state->base;
}

static void run_m2cgen(bench_state* base, int64_t first, void* slot) {
  twin_state* state = (twin_state*)base;
  const int64_t width = state->workload->width;
  const double* features = state->workload->features + first * width;
  double* answer = slot;
  for (int64_t row = 0; row < state->workload->rows; ++row, features += width, answer += 2) {
    state->score(features, answer);
  }
}

static void decode_m2cgen(bench_state* base, const void* slot, double* answers) {
  const twin_state* state = (const twin_state*)base;
  const double* answer = slot;
  for (int64_t row = 0; row < state->workload->rows; ++row) {
    *answers++ = -1;
    *answers++ = *answer++;
    *answers++ = *answer++;
  }
}

const bench_approach bench_generated[] = {
    {"lightgbm_single_row", open_lightgbm, NULL, run_lightgbm, decode_lightgbm, close_twin},
    {"m2cgen", open_m2cgen, NULL, run_m2cgen, decode_m2cgen, close_twin},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
