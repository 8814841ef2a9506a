/* A library that looks like an ONNX Runtime of the version FAKE_VERSION, which is too old or not a
 * number. Used by test_engine.cpp. */
#include <stddef.h>
#include <stdint.h>

struct api_base {
  const void* (*get_api)(uint32_t version);
  const char* (*get_version)(void);
};

static const void* get_api(uint32_t version) {
  (void)version;
  return NULL;
}

static const char* get_version(void) { return FAKE_VERSION; }

__attribute__((visibility("default"))) const struct api_base* OrtGetApiBase(void) {
  static const struct api_base base = {get_api, get_version};
  return &base;
}
