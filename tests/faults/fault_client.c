/* client ADDRESS CALLS TIMEOUT_MS: calls the doubling server CALLS times and prints one line per
 * call: its status, or WRONG. fault_client.py and fault_client.js do the same. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char** argv) {
  static const struct timespec between = {0, 2000000};
  static const struct timespec starting = {0, 50000000}; /* of the next server */
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model* model = NULL;
  sidecall_call* call = NULL;
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  if (argc != 4) return 2;
  const int64_t timeout_ns = atol(argv[3]) * 1000000L;
  if (sidecall_model_open(argv[1], NULL, &model, &err) ||
      sidecall_call_open(model, 2, &call, &err) || sidecall_call_input(call, 0, &in, &err)) {
    printf("open %s\n", sidecall_status_name(err.status));
    return 1;
  }
  puts("open OK");
  fflush(stdout);
  for (long number = 0; number < atol(argv[2]); ++number) {
    float* x = in.data; /* the memory stays at this address, even when another server takes over */
    for (int i = 0; i < 8; ++i) x[i] = (float)(number + i);
    sidecall_status status = sidecall_call_run(call, timeout_ns, &err);
    if (status == SIDECALL_OK) status = sidecall_call_output(call, 0, &out, &err);
    int is_right = status == SIDECALL_OK;
    for (int i = 0; is_right && i < 8; ++i)
      is_right = ((const float*)out.data)[i] == 2 * (float)(number + i);
    printf("%ld %s\n", number,
           status != SIDECALL_OK ? sidecall_status_name(status)
           : is_right            ? "OK"
                                 : "WRONG");
    fflush(stdout);
    nanosleep(status == SIDECALL_UNREACHABLE ? &starting : &between, NULL);
  }
  sidecall_call_close(call);
  sidecall_model_close(model);
  return 0;
}
