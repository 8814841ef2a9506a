/* Asks a model about one penguin, and shows how a bad record is refused.   ./penguins [MODEL]
 * MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <string.h>

enum { ISLAND, SEX, BILL_LENGTH, BILL_DEPTH, FLIPPER_LENGTH, BODY_MASS, NUM_FEATURES };
static const char* const names[NUM_FEATURES] = {
    "island", "sex", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"};

static int ask(const sidecall_model* model, sidecall_call* call, sidecall_error* error) {
  int32_t features[NUM_FEATURES], label, gentoo; /* look the names up once, keep the indices */
  for (int i = 0; i < NUM_FEATURES; ++i)
    if (sidecall_model_find(model, SIDECALL_KIND_FEATURE, names[i], strlen(names[i]), &features[i],
                            error))
      return 1;
  const char* const column = "probabilities.Gentoo";
  if (sidecall_model_find(model, SIDECALL_KIND_COLUMN, "label", strlen("label"), &label, error) ||
      sidecall_model_find(model, SIDECALL_KIND_COLUMN, column, strlen(column), &gentoo, error))
    return 1;

  /* The run reports every value that these functions refuse, so it is enough to check the run. */
  sidecall_call_set_str(call, 0, features[ISLAND], "Biscoe", 6, NULL);
  sidecall_call_set_missing(call, 0, features[SEX], NULL);
  sidecall_call_set_f64(call, 0, features[BILL_LENGTH], 48.2, NULL);
  sidecall_call_set_f64(call, 0, features[BILL_DEPTH], 14.3, NULL);
  sidecall_call_set_i64(call, 0, features[FLIPPER_LENGTH], 215, NULL);
  sidecall_call_set_i64(call, 0, features[BODY_MASS], 4900, NULL);
  const char* species;
  size_t length;
  double probability;
  if (sidecall_call_run(call, -1, error) ||
      sidecall_call_get_str(call, 0, label, &species, &length, error) ||
      sidecall_call_get_f64(call, 0, gentoo, &probability, error))
    return 1;
  printf("label: %.*s\n%s: %.4f\n", (int)length, species, column, probability);

  sidecall_call_set_str(call, 0, features[BILL_LENGTH], "long", 4, NULL);
  sidecall_call_set_str(call, 0, features[BODY_MASS], "heavy", 5, NULL);
  if (sidecall_call_run(call, -1, error) == SIDECALL_OK) return 0;
  for (uint32_t i = 0; i < error->num_faults && i < error->faults_capacity; ++i)
    printf("refused: %s\n", error->faults[i].message);
  return error->num_faults == 0; /* without faults of the record, the run itself has failed */
}

int main(int argc, char** argv) {
  sidecall_fault faults[8];
  sidecall_error error = SIDECALL_ERROR_INIT;
  error.faults = faults;
  error.faults_capacity = 8;
  sidecall_model* model = NULL;
  sidecall_call* call = NULL;
  int failed = sidecall_model_open(argc > 1 ? argv[1] : "penguins.onnx", NULL, &model, &error) ||
               sidecall_call_open(model, 1, &call, &error) || ask(model, call, &error);
  if (failed) fprintf(stderr, "%s (%s)\n", error.message, sidecall_status_name(error.status));
  sidecall_call_close(call);
  sidecall_model_close(model);
  return failed;
}
