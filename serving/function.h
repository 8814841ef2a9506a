// Wraps a C function as an engine of core, so that records, checks, golden rows and the channel
// treat it like any model. Used by server.cpp.
#pragma once

#include <sidecall/server.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/contract/signature.h"
#include "core/engine.h"
#include "core/specs.h"
#include "shm/server/server.h"

namespace sidecall {

class FunctionEngine final : public Engine {
 public:
  // `log` receives the events that the function logs while golden rows run. The events that it logs
  // during requests of clients go to the log of the channel.
  FunctionEngine(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs,
                 sidecall_handler handler, void* context, shm::LogFunction log)
      : tensors_(std::move(inputs), std::move(outputs)),
        specs_(tensors_),
        handler_(handler),
        context_(context),
        log_(std::move(log)) {}

  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override;
  std::unique_ptr<ExecutionContext> make_context(bool lends_connection) const override;
  std::string version() const override { return "the served function"; }

  const std::vector<TensorSpec>& inputs() const { return tensors_.inputs; }
  const std::vector<TensorSpec>& outputs() const { return tensors_.outputs; }
  const Specs& specs() const { return specs_; }
  sidecall_status call(sidecall_request* request) const { return handler_(context_, request); }
  const shm::LogFunction& log() const { return log_; }

 private:
  struct Tensors : Signature {
    Tensors(std::vector<TensorSpec> given_inputs, std::vector<TensorSpec> given_outputs) {
      inputs = std::move(given_inputs);
      outputs = std::move(given_outputs);
    }
  };
  const Tensors tensors_;
  const Specs specs_;
  const sidecall_handler handler_;
  void* const context_;
  const shm::LogFunction log_;
};

}  // namespace sidecall
