// Chooses the engine that runs a file in this process. Used by the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <string>

#include "core/artifact/onnx_file.h"
#include "core/contract/contract.h"
#include "core/engine.h"

namespace sidecall {

// Opens the file with the engine that the environment variable SIDECALL_ENGINE names or, if it is
// not set, with that of options.engine. "auto" takes
// 1. the native engine if the export proved the file on this version of it (the contract says so),
// 2. otherwise ONNX Runtime,
// 3. and the native engine if there is no usable ONNX Runtime on this machine, and neither the
//    options nor the environment name one.
//
// Pass this function to Model::open(). Throws INVALID_ARGUMENT if the variable names no engine, and
// whatever opening the engine throws.
ChosenEngine open_local_engine(const OnnxFile& file, const std::string& label,
                               const sidecall_model_options& options,
                               const ContractDocument* contract);

}  // namespace sidecall
