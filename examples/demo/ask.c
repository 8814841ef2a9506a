/* Queries an exported model for the rows of a tab-separated table, feature by feature.
 * Used by demo.py.   ./demo-c MODEL TABLE CALLS
 *
 * The first line of the table names the features; an empty cell is a missing value. Prints one
 * answer per row, with its columns separated by tabs, and finally the time of a call in
 * microseconds. */
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROWS 16
#define MAX_CELLS 64
#define ROUNDS 25 /* short rounds, some of which nothing interrupts; the fastest counts */

static char text[1 << 16];
static char* cells[MAX_ROWS + 1][MAX_CELLS];
static double numbers[MAX_ROWS + 1][MAX_CELLS]; /* the values of the cells of numeric features */
static int num_rows, num_cells;

static int read_table(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return 0;
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  char* line = text;
  for (num_rows = -1; *line != '\0' && num_rows < MAX_ROWS; ++num_rows) {
    char* end = line + strcspn(line, "\n");
    const int is_last = *end == '\0';
    *end = '\0';
    for (num_cells = 0; line != NULL && num_cells < MAX_CELLS; ++num_cells) {
      char* tab = strchr(line, '\t');
      if (tab != NULL) *tab = '\0';
      cells[num_rows + 1][num_cells] = line;
      numbers[num_rows + 1][num_cells] = strtod(line, NULL);
      line = tab == NULL ? NULL : tab + 1;
    }
    line = is_last ? end : end + 1;
  }
  return num_rows > 0;
}

/* The call remembers what a setter refused, so checking the result of the run is enough. */
static sidecall_status ask(sidecall_call* call, int row, const int32_t* features,
                           const int* is_text, sidecall_error* err) {
  for (int i = 0; i < num_cells; ++i) {
    if (cells[row][i][0] == '\0') {
      sidecall_call_set_missing(call, 0, features[i], NULL);
    } else if (is_text[i]) {
      sidecall_call_set_str(call, 0, features[i], cells[row][i], strlen(cells[row][i]), NULL);
    } else {
      sidecall_call_set_f64(call, 0, features[i], numbers[row][i], NULL);
    }
  }
  return sidecall_call_run(call, -1, err);
}

static sidecall_status print_answer(const sidecall_model* model, sidecall_call* call,
                                    sidecall_error* err) {
  sidecall_status status = SIDECALL_OK;
  for (int32_t i = 0; i < sidecall_model_num_columns(model) && status == SIDECALL_OK; ++i) {
    const char* word = NULL;
    size_t length = 0;
    double number = 0;
    if (i > 0) putchar('\t');
    if (sidecall_model_column_spec(model, i)->dtype == SIDECALL_DTYPE_STRING) {
      status = sidecall_call_get_str(call, 0, i, &word, &length, err);
      printf("%.*s", (int)length, word);
    } else {
      status = sidecall_call_get_f64(call, 0, i, &number, err);
      printf("%.17g", number);
    }
  }
  putchar('\n');
  return status;
}

static double microseconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static sidecall_status run(const sidecall_model* model, sidecall_call* call, int calls,
                           sidecall_error* err) {
  int32_t features[MAX_CELLS];
  int is_text[MAX_CELLS];
  sidecall_status status = SIDECALL_OK;
  for (int i = 0; i < num_cells; ++i) {
    status = sidecall_model_find(model, SIDECALL_KIND_FEATURE, cells[0][i], strlen(cells[0][i]),
                                 &features[i], err);
    if (status != SIDECALL_OK) return status;
    is_text[i] = sidecall_model_feature_spec(model, features[i])->dtype == SIDECALL_DTYPE_STRING;
  }
  for (int row = 1; row <= num_rows && status == SIDECALL_OK; ++row) {
    status = ask(call, row, features, is_text, err);
    if (status == SIDECALL_OK) status = print_answer(model, call, err);
  }
  double best = 1e300;
  for (int round = 0; round < ROUNDS && status == SIDECALL_OK; ++round) {
    const double start = microseconds();
    for (int i = 0; i < calls && status == SIDECALL_OK; ++i)
      status = ask(call, 1 + i % num_rows, features, is_text, err);
    const double spent = (microseconds() - start) / calls;
    best = spent < best ? spent : best;
  }
  if (status == SIDECALL_OK) printf("%.2f\n", best);
  return status;
}

int main(int argc, char** argv) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_model* model = NULL;
  sidecall_call* call = NULL;
  const int calls = argc == 4 ? atoi(argv[3]) : 0;
  if (calls < 1 || !read_table(argv[2])) {
    fprintf(stderr, "usage: %s MODEL TABLE CALLS\n", argv[0]);
    return 2;
  }
  sidecall_status status = sidecall_model_open(argv[1], NULL, &model, &error);
  if (status == SIDECALL_OK) status = sidecall_call_open(model, 1, &call, &error);
  if (status == SIDECALL_OK) status = run(model, call, calls, &error);
  if (status != SIDECALL_OK)
    fprintf(stderr, "%s (%s)\n", error.message, sidecall_status_name(status));
  sidecall_call_close(call);
  sidecall_model_close(model);
  return status == SIDECALL_OK ? 0 : 1;
}
