/* Answers one row with the least code that a C program needs on ONNX Runtime; the baseline for a
 * cold start. Usage: bench-cli-cold LIBRARY MODEL < numbers */
#define ORT_API_MANUAL_INIT
#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NUMBERS = 1024 };

static const OrtApi* api;

static void check(OrtStatus* status) {
  if (status == NULL) return;
  fprintf(stderr, "onnxruntime: %s\n", api->GetErrorMessage(status));
  exit(1);
}

static void load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  const OrtApiBase* (*get_base)(void) = NULL;
  if (library != NULL) *(void**)&get_base = dlsym(library, "OrtGetApiBase");
  api = get_base == NULL ? NULL : get_base()->GetApi(21);
  if (api == NULL) {
    fprintf(stderr, "%s: expected ONNX Runtime\n", path);
    exit(1);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  double numbers[MAX_NUMBERS];
  int64_t count = 0;
  while (count < MAX_NUMBERS && scanf("%lf,", &numbers[count]) == 1) ++count;

  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  load(argv[1]);
  OrtEnv* env = NULL;
  OrtSessionOptions* options = NULL;
  OrtSession* session = NULL;
  OrtMemoryInfo* memory = NULL;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "cold", &env));
  check(api->CreateSessionOptions(&options));
  check(api->SetIntraOpNumThreads(options, 1));
  check(api->CreateSession(env, argv[2], options, &session));
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

  const int64_t dims[2] = {1, count};
  OrtValue* input = NULL;
  OrtValue* outputs[2] = {NULL, NULL};
  check(api->CreateTensorWithDataAsOrtValue(memory, numbers, (size_t)count * sizeof *numbers, dims,
                                            2, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, &input));
  const char* const input_names[] = {"X"};
  const char* const output_names[] = {"label", "probabilities"};
  check(api->Run(session, NULL, input_names, (const OrtValue* const*)&input, 1, output_names, 2,
                 outputs));
  int64_t* label = NULL;
  double* probabilities = NULL;
  check(api->GetTensorMutableData(outputs[0], (void**)&label));
  check(api->GetTensorMutableData(outputs[1], (void**)&probabilities));
  printf("%lld,%.17g,%.17g\n", (long long)*label, probabilities[0], probabilities[1]);

  api->ReleaseValue(outputs[0]);
  api->ReleaseValue(outputs[1]);
  api->ReleaseValue(input);
  api->ReleaseMemoryInfo(memory);
  api->ReleaseSession(session);
  api->ReleaseSessionOptions(options);
  api->ReleaseEnv(env);
  return 0;
}
