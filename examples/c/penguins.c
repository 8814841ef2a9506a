/* Which penguin is it? Opens an exported model and queries it from C.   ./penguins penguins.onnx */
#include <sidecall/sidecall.h>
#include <stdio.h>

static int failed(const char* what, const sidecall_error* error) {
  fprintf(stderr, "%s: %s (%s)\n", what, error->message, sidecall_status_name(error->status));
  return 1;
}

/* Reuses one call: columns are looked up once, then values are set and read by index. */
static int ask(const sidecall_model* model, sidecall_call* call) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  const int32_t island = sidecall_model_feature(model, "island"),
                sex = sidecall_model_feature(model, "sex");
  const int32_t bill = sidecall_model_feature(model, "bill_length_mm"),
                depth = sidecall_model_feature(model, "bill_depth_mm");
  const int32_t flipper = sidecall_model_feature(model, "flipper_length_mm"),
                mass = sidecall_model_feature(model, "body_mass_g");
  const int32_t year = sidecall_model_feature(model, "year");
  const int32_t label = sidecall_model_column(model, "label"),
                gentoo = sidecall_model_column(model, "probabilities.Gentoo");
  const char* species;
  size_t length;
  double probability;

  /* The call remembers what a setter refused, so checking the result of the run is enough. */
  sidecall_call_set_str(call, 0, island, "Biscoe", 6, NULL);
  sidecall_call_set_missing(call, 0, sex, NULL);
  sidecall_call_set_f64(call, 0, bill, 46.1, NULL);
  sidecall_call_set_f64(call, 0, depth, 13.2, NULL);
  sidecall_call_set_i64(call, 0, flipper, 211, NULL);
  sidecall_call_set_i64(call, 0, mass, 4500, NULL);
  sidecall_call_set_i64(call, 0, year, 2007, NULL);
  if (sidecall_call_run(call, -1, &error)) return failed("run", &error);
  if (sidecall_call_get_str(call, 0, label, &species, &length, &error))
    return failed("label", &error);
  if (sidecall_call_get_f64(call, 0, gentoo, &probability, &error))
    return failed("probabilities.Gentoo", &error);
  printf("%.*s, Gentoo with %.4f\n", (int)length, species, probability);
  return 0;
}

/* Makes the same query as JSON text, and prints the faults of an invalid record. */
static int ask_json(const sidecall_model* model) {
  static const char right[] =
      "{\"island\": \"Dream\", \"bill_length_mm\": 49.3, \"bill_depth_mm\": 19.9, "
      "\"flipper_length_mm\": 203, \"body_mass_g\": 4050, "
      "\"sex\": \"male\", \"year\": 2009}";
  static const char wrong[] =
      "{\"island\": \"Dream\", \"bill_length_mm\": \"long\", \"colour\": \"black\", \"year\": "
      "2009}";
  sidecall_fault faults[8];
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_text* answer;
  uint32_t i;
  if (sidecall_predict_json(model, right, sizeof right - 1, &answer, &error))
    return failed("predict", &error);
  printf("%s\n", answer->data);
  sidecall_text_close(answer);

  error.faults = faults;
  error.faults_capacity = 8;
  if (sidecall_predict_json(model, wrong, sizeof wrong - 1, &answer, &error) == SIDECALL_OK)
    return 1;
  for (i = 0; i < error.num_faults && i < 8; ++i) printf("refused: %s\n", faults[i].message);
  return 0;
}

int main(int argc, char** argv) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_model* model;
  sidecall_call* call;
  int result;
  if (argc != 2) {
    fprintf(stderr, "usage: %s penguins.onnx\n", argv[0]);
    return 2;
  }
  if (sidecall_model_open(argv[1], NULL, &model, &error)) return failed("open", &error);
  printf("%s %s\n", sidecall_model_name(model), sidecall_model_version(model));
  if (sidecall_call_open(model, 1, &call, &error)) {
    sidecall_model_close(model);
    return failed("call", &error);
  }
  result = ask(model, call) || ask_json(model);
  sidecall_call_close(call);
  sidecall_model_close(model);
  return result;
}
