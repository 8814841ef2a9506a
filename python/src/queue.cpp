// The Python classes Queue and Pending: the completion queue of an event loop, and one of its runs.
#include <array>
#include <functional>
#include <utility>

#include "fast.h"
#include "gil.h"
#include "model.h"

namespace sidecall_python {
namespace {

class Queue {
 public:
  Queue() {
    sidecall_queue* opened = nullptr;
    CallError error;
    error.check(sidecall_queue_open(nullptr, &opened, error.get()));
    queue_.reset(opened);
  }

  int64_t handle() const {
    intptr_t handle = -1;
    CallError error;
    error.check(sidecall_queue_handle(queue_.get(), &handle, error.get()));
    return handle;
  }

  // The numbers of runs that have an outcome. Waits up to that long if there is none.
  py::list take(int64_t wait_ns) const {
    std::array<sidecall_completion, 64> taken;
    int64_t count = 0;
    CallError error;
    const auto take = [&] {
      return sidecall_queue_take(queue_.get(), 0, taken.data(), sizeof taken[0], taken.size(),
                                 wait_ns, &count, error.get());
    };
    error.check(wait_ns == 0 ? take() : without_gil(take));
    py::list runs;
    for (int64_t i = 0; i < count; ++i) runs.append(taken[static_cast<size_t>(i)].run);
    return runs;
  }

  int64_t arm() const {
    int64_t look_ns = 0;
    CallError error;
    error.check(sidecall_queue_arm(queue_.get(), &look_ns, error.get()));
    return look_ns;
  }

  sidecall_queue* get() const noexcept { return queue_.get(); }

 private:
  std::unique_ptr<sidecall_queue, decltype(&sidecall_queue_close)> queue_{nullptr,
                                                                          sidecall_queue_close};
};

// A run that was submitted to a queue.
class Pending {
 public:
  using Collect = std::function<py::object(WorkspaceHandle)>;

  Pending(const Queue& queue, WorkspaceHandle workspace, int64_t timeout_ns, Collect collect)
      : workspace_(std::move(workspace)), collect_(std::move(collect)) {
    workspace_->check([&](sidecall_call* call, sidecall_error* err) {
      return sidecall_queue_submit(queue.get(), call, timeout_ns, 0, &run_, err);
    });
  }

  uint64_t run() const noexcept { return run_; }

  py::object result() {
    if (workspace_ == nullptr)
      raise_status(SIDECALL_NOT_RUN, "the run was closed, or its outcome was already returned");
    workspace_->check(sidecall_call_error);
    return collect_(std::move(workspace_));
  }

  // Cancels the run. Never waits: the library keeps the memory that the engine still uses, and none
  // of it belongs to Python.
  void close() noexcept { workspace_.reset(); }

 private:
  WorkspaceHandle workspace_;
  Collect collect_;
  uint64_t run_ = 0;
};

// All inputs are copied, because the caller may change its arrays while the run is under way, and a
// run that is given up may outlive them.
Pending start_run(const Queue& queue, const py::object& model, const py::object& inputs,
                  const py::object& outputs, int64_t timeout_ns) {
  return {queue, model.cast<const Model*>()->give(inputs.ptr(), nullptr), timeout_ns,
          [model, outputs](WorkspaceHandle workspace) {
            return model.cast<const Model*>()->tensors(std::move(workspace), outputs);
          }};
}

Pending start_predict(const Queue& queue, const py::object& model, const py::object& records,
                      int64_t timeout_ns) {
  const bool is_single = PyDict_Check(records.ptr());
  return {queue, model.cast<const Model*>()->fill(records.ptr()), timeout_ns,
          [model, is_single](WorkspaceHandle workspace) {
            return model.cast<const Model*>()->records(*workspace, is_single);
          }};
}

}  // namespace

void add_queue(py::module_& module) {
  py::class_<Pending>(module, "Pending", plain_type(), py::is_final())
      .def_property_readonly("run", &Pending::run)
      .def("result", &Pending::result)
      .def("close", &Pending::close);
  py::class_<Queue>(module, "Queue", plain_type(), py::is_final())
      .def(py::init<>())
      .def("handle", &Queue::handle)
      .def("take", &Queue::take, py::arg("wait_ns"))
      .def("arm", &Queue::arm)
      .def("start_run", &start_run, py::arg("model"), py::arg("inputs"), py::arg("outputs"),
           py::arg("timeout_ns"))
      .def("start_predict", &start_predict, py::arg("model"), py::arg("records"),
           py::arg("timeout_ns"));
}

}  // namespace sidecall_python
