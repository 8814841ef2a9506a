/* Compiles the header as strict C99 and calls most of its functions. Exits with 0 if every result
 * is as expected. */
#include <sidecall/binding.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                     \
  do {                                                       \
    if (!(condition)) {                                      \
      printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      return 1;                                              \
    }                                                        \
  } while (0)

static int use_records(const sidecall_model* model) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_call* call = NULL;
  sidecall_text* text = NULL;
  double value = 0;
  int64_t whole = 0;
  const char* label = NULL;
  size_t length = 0;
  int32_t i = sidecall_model_feature(model, "x0"), index = -1;
  static const char json[] = "{\"x0\": 0.25, \"x1\": 0.5, \"x2\": 0.25}";
  CHECK(i == 0);
  CHECK(sidecall_model_find(model, SIDECALL_KIND_COLUMN, "label", 5, &index, &error) ==
            SIDECALL_OK &&
        index == 0);
  CHECK(sidecall_predict_json(model, json, strlen(json), &text, &error) == SIDECALL_OK);
  CHECK(strstr(text->data, "\"label\":\"yes\"") != NULL && strlen(text->data) == text->length);
  sidecall_text_close(text);
  CHECK(sidecall_call_open(model, 1, &call, &error) == SIDECALL_OK);
  CHECK(sidecall_call_clear(call, &error) == SIDECALL_OK);
  for (i = 0; i < 3; ++i)
    CHECK(sidecall_call_set_f64(call, 0, i, i == 1 ? 0.5 : 0.25, &error) == SIDECALL_OK);
  CHECK(sidecall_call_set_i64(call, 0, 0, 0, &error) == SIDECALL_OK);
  CHECK(sidecall_call_set_bool(call, 0, 0, 1, &error) == SIDECALL_DTYPE_MISMATCH);
  CHECK(sidecall_call_set_str(call, 0, 0, "x", 1, &error) == SIDECALL_DTYPE_MISMATCH);
  CHECK(sidecall_call_set_missing(call, 0, 0, &error) == SIDECALL_MISSING_VALUE);
  CHECK(sidecall_call_set_invalid(call, 0, 0, "pointer", &error) == SIDECALL_DTYPE_MISMATCH);
  CHECK(sidecall_call_set_unknown(call, 0, "x9", 2, &error) == SIDECALL_UNKNOWN_NAME);
  CHECK(sidecall_call_run(call, -1, &error) == SIDECALL_DTYPE_MISMATCH);
  CHECK(sidecall_call_clear(call, &error) == SIDECALL_OK);
  for (i = 0; i < 3; ++i)
    CHECK(sidecall_call_set_f64(call, 0, i, i == 1 ? 0.5 : 0.25, NULL) == SIDECALL_OK);
  CHECK(sidecall_call_run(call, -1, NULL) == SIDECALL_OK);
  CHECK(sidecall_call_get_f64(call, 0, sidecall_model_column(model, "probabilities.yes"), &value,
                              &error) == SIDECALL_OK &&
        value == 0.5);
  CHECK(sidecall_call_get_str(call, 0, 0, &label, &length, &error) == SIDECALL_OK && length == 3 &&
        memcmp(label, "yes", 3) == 0);
  CHECK(sidecall_call_get_i64(call, 0, 0, &whole, &error) == SIDECALL_DTYPE_MISMATCH);
  sidecall_call_close(call);
  return 0;
}

static int use_tensors(const sidecall_model* model) {
  sidecall_error error;
  sidecall_call* call = NULL;
  sidecall_view x = SIDECALL_VIEW_INIT, y = SIDECALL_VIEW_INIT, given = SIDECALL_VIEW_INIT;
  static const int64_t dims[] = {2, 2}, offsets[] = {0, 1};
  float values[] = {1, 2, 3, 4}, out[4] = {0, 0, 0, 0};
  sidecall_queue* queue = NULL;
  sidecall_completion done;
  int64_t count = 0;
  sidecall_error_init(&error);
  CHECK(sidecall_call_open(model, 1, &call, &error) == SIDECALL_OK);
  CHECK(sidecall_call_resize(call, 2, &error) == SIDECALL_OK && sidecall_call_rows(call) == 2);
  CHECK(sidecall_call_reshape(call, 0, dims, 2, &error) == SIDECALL_OK);
  CHECK(sidecall_call_reset(call, &error) == SIDECALL_OK);
  CHECK(sidecall_call_run(call, -1, &error) == SIDECALL_MISSING_INPUT);
  CHECK(sidecall_call_input(call, 0, &x, &error) == SIDECALL_OK && x.data_bytes == sizeof values);
  memcpy(x.data, values, sizeof values);
  CHECK(sidecall_call_bind_output(call, 0, out, sizeof out, &error) == SIDECALL_OK);
  CHECK(sidecall_call_run(call, -1, &error) == SIDECALL_OK && out[3] == 24);
  CHECK(sidecall_call_bind_output(call, 0, NULL, 0, &error) == SIDECALL_OK);
  given.dtype = SIDECALL_DTYPE_FLOAT32;
  given.rank = 2;
  given.dims = dims;
  given.data = values;
  given.data_bytes = sizeof values;
  CHECK(sidecall_call_copy_input(call, 0, &given, &error) == SIDECALL_OK);
  CHECK(sidecall_call_bind_input(call, 0, &given, &error) == SIDECALL_OK);
  sidecall_call_describe_mismatch(call, 0, "complex", &error);
  CHECK(error.status == SIDECALL_DTYPE_MISMATCH);
  CHECK(sidecall_call_set_strings(call, 0, "x", offsets, 1, &error) == SIDECALL_DTYPE_MISMATCH);
  CHECK(sidecall_queue_open(NULL, &queue, &error) == SIDECALL_OK);
  CHECK(sidecall_queue_submit(queue, call, -1, 7, NULL, &error) == SIDECALL_OK);
  CHECK(sidecall_queue_take(queue, 0, &done, sizeof done, 1, -1, &count, &error) == SIDECALL_OK);
  CHECK(count == 1 && done.tag == 7 && done.call == call && done.status == SIDECALL_OK);
  sidecall_queue_close(queue);
  sidecall_call_cancel(call);
  CHECK(sidecall_call_output(call, 0, &y, &error) == SIDECALL_OK && ((float*)y.data)[0] == 11);
  sidecall_call_close(call);
  return 0;
}

int main(int argc, char** argv) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_model_options options;
  sidecall_model *tensors = NULL, *records = NULL, *foreign = NULL;
  sidecall_text* text = NULL;
  size_t length = 0;
  char path[4096];
  CHECK(argc == 2);
  CHECK(sidecall_abi_version() == SIDECALL_ABI_VERSION);
  CHECK(sidecall_version()[0] == '0');
  CHECK(strcmp(sidecall_status_name(SIDECALL_ENGINE), "ENGINE") == 0);
  CHECK(strcmp(sidecall_dtype_name(SIDECALL_DTYPE_FLOAT64), "float64") == 0 &&
        sidecall_dtype_bits(SIDECALL_DTYPE_FLOAT64) == 64);
  sidecall_model_options_init(&options);
  CHECK(sidecall_engine_describe(&options, &text, &error) == SIDECALL_OK && text->length > 0);
  sidecall_text_close(text);
  snprintf(path, sizeof path, "%s/add.onnx", argv[1]);
  CHECK(sidecall_model_open(path, &options, &tensors, &error) == SIDECALL_OK);
  snprintf(path, sizeof path, "%s/label_string.onnx", argv[1]);
  CHECK(sidecall_model_open(path, NULL, &records, &error) == SIDECALL_OK);
  CHECK(sidecall_model_open_bytes("not a model", 11, NULL, &foreign, &error) ==
            SIDECALL_FILE_INVALID &&
        foreign == NULL);
  CHECK(sidecall_model_contract(records, &length) != NULL && length > 0 &&
        sidecall_model_contract(tensors, NULL) == NULL);
  CHECK(strcmp(sidecall_model_name(records), "classifier") == 0 &&
        strcmp(sidecall_model_version(records), "7") == 0);
  CHECK(strlen(sidecall_model_id(records)) == 64 && sidecall_model_warning(records) == NULL);
  CHECK(sidecall_model_verify(records, &text, &error) == SIDECALL_OK);
  sidecall_text_close(text);
  CHECK(sidecall_model_num_inputs(records) == 1 && sidecall_model_num_outputs(records) == 2);
  CHECK(sidecall_model_num_features(records) == 3 && sidecall_model_num_columns(records) == 4);
  CHECK(sidecall_model_input(records, "X") == 0 &&
        sidecall_model_output(records, "probabilities") == 1);
  CHECK(sidecall_model_input_spec(records, 0)->dtype == SIDECALL_DTYPE_FLOAT32 &&
        sidecall_model_output_spec(records, 0)->dtype == SIDECALL_DTYPE_STRING);
  CHECK(sidecall_model_feature_spec(records, 2)->column == 2 &&
        sidecall_model_column_spec(records, 3)->form == SIDECALL_FORM_MEMBER);
  if (use_records(records) || use_tensors(tensors)) return 1;
  sidecall_model_close(records);
  sidecall_model_close(tensors);
  printf("ok\n");
  return 0;
}
