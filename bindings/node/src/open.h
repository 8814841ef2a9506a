// The functions of the addon that open models and find the engine; used by addon.cpp.
#pragma once

#include "environment.h"

namespace sidecall_node {

// open(source, options, done), openSync(source, options),
// describeEngine(options).
void define_open(Napi::Env env, Napi::Object exports);

}  // namespace sidecall_node
