/* Other engines for trees that a C program can call: LightGBM's and XGBoost's own C APIs, and the
 * code that tl2cgen and lleaves generate. generated.c of benchmarks/inproc has LightGBM's API for
 * single rows, and m2cgen. All use one thread. */
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* Copied from LightGBM's c_api.h, which its Python package does not include. */
#define C_API_DTYPE_FLOAT64 1
#define C_API_PREDICT_NORMAL 0
typedef int (*lightgbm_create_fn)(const char* file, int* out_iterations, void** out_booster);
typedef int (*lightgbm_predict_fn)(void* booster, const void* data, int dtype, int32_t rows,
                                   int32_t columns, int is_row_major, int predict_type, int start,
                                   int iterations, const char* parameter, int64_t* out_length,
                                   double* out_result);
/* Copied from XGBoost's c_api.h, for the same reason. */
typedef int (*xgboost_create_fn)(void* const matrices[], uint64_t count, void** out_booster);
typedef int (*xgboost_load_fn)(void* booster, const char* file);
typedef int (*xgboost_set_fn)(void* booster, const char* name, const char* value);
typedef int (*xgboost_predict_fn)(void* booster, const char* values, const char* config,
                                  void* matrix, const uint64_t** out_shape, uint64_t* out_rank,
                                  const float** out_result);
typedef int (*free_fn)(void* handle);

/* From the header that tl2cgen writes. The type of the numbers depends on the model. */
typedef union entry64 {
  int missing; /* -1 if the value is missing */
  double value;
} entry64;
typedef union entry32 {
  int missing;
  float value;
} entry32;
typedef void (*tl2cgen64_fn)(entry64* row, int margin, double* result);
typedef void (*tl2cgen32_fn)(entry32* row, int margin, float* result);

/* lleaves: rows from `start` to `end`. */
typedef void (*lleaves_fn)(const double* features, double* results, int start, int end);

typedef struct engine_state {
  bench_state base;
  const bench_workload* workload;
  void* library;
  void* booster;
  free_fn free_booster;

  lightgbm_predict_fn lightgbm;
  xgboost_predict_fn xgboost;
  char (*requests)[160]; /* the array interface of XGBoost for each row at which a call begins */
  tl2cgen64_fn tl2cgen64;
  tl2cgen32_fn tl2cgen32;
  void* entries;
  int64_t width_of_result;
  lleaves_fn lleaves;
} engine_state;

static engine_state* open_engine(const bench_workload* workload, char* library) {
  engine_state* state = bench_alloc(sizeof *state);
  state->workload = workload;
  state->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (state->library == NULL) bench_fail("cannot load a library: %s", dlerror());
  state->base.slot_bytes = (size_t)workload->rows * 2 * sizeof(double);
  state->width_of_result = 1;
  return state;
}

static engine_state* open_installed(const bench_workload* workload, const char* variable) {
  char* library = getenv(variable);
  if (library == NULL) bench_fail("%s: expected the path of a library", variable);
  return open_engine(workload, library);
}

static engine_state* open_compiled(const bench_workload* workload, const char* name) {
  char* path = bench_path(workload->folder, name);
  engine_state* state = open_engine(workload, path);
  free(path);
  return state;
}

static void close_engine(bench_state* base) {
  engine_state* state = (engine_state*)base;
  if (state->booster != NULL) state->free_booster(state->booster);
  dlclose(state->library);
  free(state->requests);
  free(state->entries);
  free(state);
}

/* All these models have two classes. An engine answers either both probabilities or only that of
 * class 1. */
static void decode_doubles(bench_state* base, const void* slot, double* answers) {
  const engine_state* state = (const engine_state*)base;
  const double* result = slot;
  for (int64_t row = 0; row < state->workload->rows; ++row) {
    const double last = result[state->width_of_result - 1];
    *answers++ = -1;
    *answers++ = state->width_of_result == 2 ? result[0] : 1 - last;
    *answers++ = last;
    result += state->width_of_result;
  }
}

/* 1 - p in float32, as XGBoost's Python package computes it. */
static void decode_floats(bench_state* base, const void* slot, double* answers) {
  const engine_state* state = (const engine_state*)base;
  const float* result = slot;
  for (int64_t row = 0; row < state->workload->rows; ++row) {
    *answers++ = -1;
    *answers++ = (double)(1.0F - result[row]);
    *answers++ = (double)result[row];
  }
}

static bench_state* open_lightgbm(const bench_workload* workload) {
  engine_state* state = open_installed(workload, "BENCH_LIGHTGBM");
  lightgbm_create_fn create = NULL;
  *(void**)&create = bench_symbol(state->library, "LGBM_BoosterCreateFromModelfile");
  *(void**)&state->lightgbm = bench_symbol(state->library, "LGBM_BoosterPredictForMat");
  *(void**)&state->free_booster = bench_symbol(state->library, "LGBM_BoosterFree");
  char* path = bench_path(workload->folder, "twin.txt");
  int iterations = 0;
  if (create(path, &iterations, &state->booster) != 0)
    bench_fail("lightgbm: cannot read the model");
  free(path);
  return &state->base;
}

static void run_lightgbm(bench_state* base, int64_t row, void* slot) {
  engine_state* state = (engine_state*)base;
  const bench_workload* workload = state->workload;
  int64_t length = 0;
  if (state->lightgbm(state->booster, workload->features + row * workload->width,
                      C_API_DTYPE_FLOAT64, (int32_t)workload->rows, (int32_t)workload->width, 1,
                      C_API_PREDICT_NORMAL, 0, -1, "num_threads=1", &length, slot) != 0)
    bench_fail("lightgbm: a call failed");
}

static bench_state* open_xgboost(const bench_workload* workload) {
  engine_state* state = open_installed(workload, "BENCH_XGBOOST");
  xgboost_create_fn create = NULL;
  xgboost_load_fn load = NULL;
  xgboost_set_fn set = NULL;
  *(void**)&create = bench_symbol(state->library, "XGBoosterCreate");
  *(void**)&load = bench_symbol(state->library, "XGBoosterLoadModel");
  *(void**)&set = bench_symbol(state->library, "XGBoosterSetParam");
  *(void**)&state->xgboost = bench_symbol(state->library, "XGBoosterPredictFromDense");
  *(void**)&state->free_booster = bench_symbol(state->library, "XGBoosterFree");
  char* path = bench_path(workload->folder, "xgboost.json");
  if (create(NULL, 0, &state->booster) != 0 || load(state->booster, path) != 0 ||
      set(state->booster, "nthread", "1") != 0)
    bench_fail("xgboost: cannot read the model");
  free(path);
  state->requests = bench_alloc(BENCH_RING * sizeof *state->requests);
  for (int64_t row = 0; row < BENCH_RING; ++row) {
    const double* features = workload->features + row * workload->width;
    snprintf(state->requests[row], sizeof *state->requests,
             "{\"data\":[%" PRIuPTR ",true],\"shape\":[%" PRId64 ",%" PRId64
             "],\"typestr\":\"<f8\",\"version\":3}",
             (uintptr_t)features, workload->rows, workload->width);
  }
  return &state->base;
}

static void run_xgboost(bench_state* base, int64_t row, void* slot) {
  static const char config[] =
      "{\"training\":false,\"type\":0,\"iteration_begin\":0,\"iteration_end\":0,"
      "\"strict_shape\":false,\"missing\":NaN,\"cache_id\":0}";
  engine_state* state = (engine_state*)base;
  const uint64_t* shape = NULL;
  uint64_t rank = 0;
  const float* result = NULL;
  if (state->xgboost(state->booster, state->requests[row], config, NULL, &shape, &rank, &result) !=
      0)
    bench_fail("xgboost: a call failed");
  memcpy(slot, result, (size_t)state->workload->rows * sizeof(float));
}

static bench_state* open_tl2cgen(const bench_workload* workload) {
  engine_state* state = open_compiled(workload, "tl2cgen.so");
  const char* (*threshold_type)(void) = NULL;
  void (*num_class)(int32_t*) = NULL;
  *(void**)&threshold_type = bench_symbol(state->library, "get_threshold_type");
  *(void**)&num_class = bench_symbol(state->library, "get_num_class");
  int32_t classes = 0;
  num_class(&classes);
  state->width_of_result = classes;
  if (strcmp(threshold_type(), "float64") == 0)
    *(void**)&state->tl2cgen64 = bench_symbol(state->library, "predict");
  else *(void**)&state->tl2cgen32 = bench_symbol(state->library, "predict");
  state->entries = bench_alloc((size_t)workload->width * sizeof(entry64));
  return &state->base;
}

/* A caller of tl2cgen marks missing values itself, and sets the results to 0. */
static void run_tl2cgen(bench_state* base, int64_t first, void* slot) {
  engine_state* state = (engine_state*)base;
  const int64_t width = state->workload->width;
  const double* features = state->workload->features + first * width;
  for (int64_t row = 0; row < state->workload->rows; ++row, features += width) {
    if (state->tl2cgen64 != NULL) {
      entry64* entries = state->entries;
      double* result = (double*)slot + row * state->width_of_result;
      for (int64_t i = 0; i < width; ++i) {
        entries[i].value = features[i];
        if (isnan(features[i])) entries[i].missing = -1;
      }
      memset(result, 0, (size_t)state->width_of_result * sizeof *result);
      state->tl2cgen64(entries, 0, result);
    } else {
      entry32* entries = state->entries;
      float* result = (float*)slot + row;
      for (int64_t i = 0; i < width; ++i) {
        entries[i].value = (float)features[i];
        if (isnan(features[i])) entries[i].missing = -1;
      }
      *result = 0;
      state->tl2cgen32(entries, 0, result);
    }
  }
}

static void decode_tl2cgen(bench_state* base, const void* slot, double* answers) {
  if (((engine_state*)base)->tl2cgen64 != NULL) decode_doubles(base, slot, answers);
  else decode_floats(base, slot, answers);
}

static bench_state* open_lleaves(const bench_workload* workload) {
  engine_state* state = open_compiled(workload, "lleaves.so");
  *(void**)&state->lleaves = bench_symbol(state->library, "forest_root");
  return &state->base;
}

static void run_lleaves(bench_state* base, int64_t row, void* slot) {
  engine_state* state = (engine_state*)base;
  state->lleaves(state->workload->features + row * state->workload->width, slot, 0,
                 (int)state->workload->rows);
}

const bench_approach bench_engines[] = {
    {"lightgbm_batch", open_lightgbm, NULL, run_lightgbm, decode_doubles, close_engine},
    {"xgboost", open_xgboost, NULL, run_xgboost, decode_floats, close_engine},
    {"tl2cgen", open_tl2cgen, NULL, run_tl2cgen, decode_tl2cgen, close_engine},
    {"lleaves", open_lleaves, NULL, run_lleaves, decode_doubles, close_engine},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
