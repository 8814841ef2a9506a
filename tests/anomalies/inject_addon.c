/* Makes the functions of inject.h available to Node.js. The library with these functions must have
 * been loaded with LD_PRELOAD. */
#include <node_api.h>

#include "inject.h"

static napi_value plan(napi_env env, napi_callback_info info) {
  napi_value given[4];
  size_t count = 4;
  int64_t numbers[4] = {0, 0, 0, 0};
  if (napi_get_cb_info(env, info, &count, given, NULL, NULL) != napi_ok) return NULL;
  for (int i = 0; i < 4; ++i) napi_get_value_int64(env, given[i], &numbers[i]);
  sidecall_inject_plan((int)numbers[0], numbers[1], (int)numbers[2], numbers[3]);
  return NULL;
}

static napi_value start(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  sidecall_inject_start();
  return NULL;
}

static napi_value stop(napi_env env, napi_callback_info info) {
  napi_value failed;
  (void)info;
  sidecall_inject_stop();
  return napi_create_int64(env, sidecall_inject_failed(), &failed) == napi_ok ? failed : NULL;
}

/* [{name, errors}, ...] */
static napi_value functions(napi_env env, napi_callback_info info) {
  napi_value list, entry, name, errors, number;
  (void)info;
  napi_create_array(env, &list);
  for (int i = 0; sidecall_inject_name(i) != NULL; ++i) {
    napi_create_object(env, &entry);
    napi_create_string_utf8(env, sidecall_inject_name(i), NAPI_AUTO_LENGTH, &name);
    napi_create_array(env, &errors);
    for (uint32_t j = 0; sidecall_inject_errors(i)[j] != 0; ++j) {
      napi_create_int32(env, sidecall_inject_errors(i)[j], &number);
      napi_set_element(env, errors, j, number);
    }
    napi_set_named_property(env, entry, "name", name);
    napi_set_named_property(env, entry, "errors", errors);
    napi_set_element(env, list, (uint32_t)i, entry);
  }
  return list;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char* name;
    napi_callback body;
  } all[] = {{"plan", plan}, {"start", start}, {"stop", stop}, {"functions", functions}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    napi_value function;
    napi_create_function(env, all[i].name, NAPI_AUTO_LENGTH, all[i].body, NULL, &function);
    napi_set_named_property(env, exports, all[i].name, function);
  }
  return exports;
}
