// Implements the core's Engine interface with a plan; see engine.h. context.cpp runs calls.
#include "engine.h"

#include "context.h"
#include "core/error.h"
#include "plan.h"

namespace sidecall {
namespace {

class NativeEngine final : public Engine {
 public:
  NativeEngine(const OnnxFile& file, const std::string& what) : plan_(file.engine_input(), what) {}

  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override {
    *inputs = plan_.graph().inputs;
    *outputs = plan_.graph().outputs;
  }

  void expect_refusals() override { has_refusals_ = true; }

  std::unique_ptr<ExecutionContext> make_context(bool) const override {
    return native::make_plan_context(plan_, has_refusals_);
  }

  std::string version() const override { return std::string("native ") + kNativeNumerics; }

 private:
  const native::Plan plan_;
  bool has_refusals_ = false;
};

}  // namespace

std::unique_ptr<Engine> open_native_engine(const OnnxFile& file, const std::string& label,
                                           const sidecall_model_options& /*options*/) {
  return std::make_unique<NativeEngine>(file, "file '" + label + "': ");
}

}  // namespace sidecall
