// The Python class Call: a reusable workspace with arrays over its memory and access to values by
// feature and column.
#include <sidecall/binding.h>
#include <utility>

#include "fast.h"
#include "gil.h"
#include "model.h"

namespace sidecall_python {
namespace {

using SharedWorkspace = std::shared_ptr<Workspace>;

// Returns an owner for an array over the memory of the workspace. It keeps the memory alive after
// the call is closed, as long as the array exists.
py::object share(const SharedWorkspace& workspace) {
  return py::capsule(new SharedWorkspace(workspace),
                     [](void* shared) { delete static_cast<SharedWorkspace*>(shared); });
}

class Call {
 public:
  Call(py::object owner, Model* model, int64_t rows)
      : owner_(std::move(owner)),
        model_(model),
        workspace_(std::make_shared<Workspace>(model->handle(), rows, Workspace::Kind::kOwn)) {
    find_dynamic_outputs();
  }

  // Opens another call of the same model, even if the Python model is closed by now.
  Call(const Call& other, int64_t rows)
      : owner_(other.owner_),
        model_(other.model_),
        workspace_(
            std::make_shared<Workspace>(other.workspace().model(), rows, Workspace::Kind::kOwn)) {
    find_dynamic_outputs();
  }

  int64_t rows() const { return sidecall_call_rows(workspace().call()); }
  bool is_shared() const noexcept { return workspace_ != nullptr && workspace_.use_count() > 1; }
  void close() { workspace_.reset(); }

  void run(int64_t timeout_ns) {
    const SharedWorkspace workspace =
        workspace_;  // keeps it alive if another thread closes the call meanwhile
    this->workspace().run(timeout_ns);
  }

  py::object input(int32_t index) const {
    const TensorSpec& spec = model_->inputs()[static_cast<size_t>(index)];
    sidecall_view view = SIDECALL_VIEW_INIT;
    workspace().check([&](sidecall_call* call, sidecall_error* err) {
      return sidecall_call_input(call, index, &view, err);
    });
    if (view.dtype == SIDECALL_DTYPE_STRING) {
      raise_status(SIDECALL_INVALID_ARGUMENT,
                   "input '" + spec.text +
                       "': strings are set by assignment; there is no array to write into");
    }
    return array_of(view, spec, share(workspace_));
  }

  // Returns an array over the memory of the call if this memory stays the same from run to run.
  // Returns a copy for strings and for outputs whose shape is known only after a run.
  py::object output(int32_t index) const {
    const sidecall_view view = workspace().output(static_cast<size_t>(index));
    if (view.rank < 0 || (view.data == nullptr && view.data_bytes > 0)) {
      raise_status(SIDECALL_NOT_RUN, "outputs: expected a run that succeeded, got none");
    }
    const bool is_copied =
        view.dtype == SIDECALL_DTYPE_STRING || is_dynamic_[static_cast<size_t>(index)];
    return array_of(view, model_->outputs()[static_cast<size_t>(index)],
                    is_copied ? py::object() : share(workspace_));
  }

  bool is_kept(int32_t output) const {
    return !is_dynamic_[static_cast<size_t>(output)] &&
           model_->outputs()[static_cast<size_t>(output)].dtype != SIDECALL_DTYPE_STRING;
  }

  void set_strings(int32_t index, const py::sequence& values) {
    const bool takes_missing = model_->inputs()[static_cast<size_t>(index)].takes_missing;
    Strings strings;
    for (const py::handle value : values) {
      if (!strings.append(value.ptr(), takes_missing)) {
        workspace().refuse(index, type_name(value.ptr()));
      }
    }
    const auto count = static_cast<int64_t>(strings.offsets.size()) - 1;
    workspace().check([&](sidecall_call* call, sidecall_error* err) {
      return sidecall_call_set_strings(call, index, strings.bytes.data(), strings.offsets.data(),
                                       count, err);
    });
  }

  void resize(int64_t rows) {
    workspace().check([&](sidecall_call* call, sidecall_error* err) {
      return without_gil([&] { return sidecall_call_resize(call, rows, err); });
    });
    find_dynamic_outputs();
  }

  void reshape(int32_t index, const std::vector<int64_t>& dims) {
    workspace().check([&](sidecall_call* call, sidecall_error* err) {
      return without_gil([&] {
        return sidecall_call_reshape(call, index, dims.data(), static_cast<int32_t>(dims.size()),
                                     err);
      });
    });
    find_dynamic_outputs();
  }

  void set(int64_t row, int32_t feature, const py::object& value) {
    const Feature& spec = model_->features()[static_cast<size_t>(feature)];
    workspace().check([&](sidecall_call* call, sidecall_error* err) {
      return set_value(call, row, feature, spec, value.ptr(), err);
    });
  }

  py::object get(int64_t row, int32_t index) const {
    const Column& column = model_->columns()[static_cast<size_t>(index)];
    sidecall_call* const call = workspace().call();
    CallError error;
    if (column.dtype == SIDECALL_DTYPE_STRING) {
      const char* text = nullptr;
      size_t length = 0;
      error.check(sidecall_call_get_str(call, row, index, &text, &length, error.get()));
      return py::reinterpret_steal<py::object>(
          PyUnicode_DecodeUTF8(text, static_cast<Py_ssize_t>(length), "surrogateescape"));
    }
    if (!is_integer(column.dtype) && column.dtype != SIDECALL_DTYPE_BOOL) {
      double number = 0;
      error.check(sidecall_call_get_f64(call, row, index, &number, error.get()));
      return py::float_(number);
    }
    int64_t integer = 0;
    error.check(sidecall_call_get_i64(call, row, index, &integer, error.get()));
    return column.dtype == SIDECALL_DTYPE_BOOL ? py::object(py::bool_(integer != 0))
                                               : py::object(py::int_(integer));
  }

  void clear() { workspace().check(sidecall_call_clear); }
  void cancel() const {
    if (workspace_ != nullptr) sidecall_call_cancel(workspace_->call());
  }

 private:
  Workspace& workspace() const {
    if (workspace_ == nullptr) raise_status(SIDECALL_INVALID_ARGUMENT, "the call is closed");
    return *workspace_;
  }

  // Must be called before a run, because after a run every output has a shape.
  void find_dynamic_outputs() {
    is_dynamic_.assign(model_->outputs().size(), true);
    for (size_t i = 0; i < is_dynamic_.size(); ++i) {
      sidecall_view view = SIDECALL_VIEW_INIT;
      // This fails if the shapes of the inputs disagree at the moment. The output then counts as
      // dynamic and is copied, which is always correct.
      if (sidecall_call_output(workspace().call(), static_cast<int32_t>(i), &view, nullptr) ==
          SIDECALL_OK)
        is_dynamic_[i] = view.rank < 0;
    }
  }

  py::object owner_;  // keeps model_ alive
  Model* model_;
  SharedWorkspace workspace_;
  std::vector<bool> is_dynamic_;
};

PyObject* run_call(PyObject* self, PyObject* const* args, Py_ssize_t) {
  return guard([&] {
    bound<Call>(self)->run(nanoseconds(args[0]));
    return py::none();
  });
}

}  // namespace

void add_call(py::module_& module) {
  py::class_<Call>(module, "Call", plain_type(), py::is_final())
      .def(py::init([](const py::object& model, int64_t rows) {
             return new Call(model, model.cast<Model*>(), rows);
           }),
           py::arg("model"), py::arg("rows"))
      .def_property_readonly("rows", &Call::rows)
      .def_property_readonly("is_shared", &Call::is_shared)
      .def(
          "fresh",
          [](const Call& call, int64_t rows) { return std::make_unique<Call>(call, rows); },
          py::arg("rows"))
      .def("input", &Call::input, py::arg("index"))
      .def("output", &Call::output, py::arg("index"))
      .def("is_kept", &Call::is_kept, py::arg("output"))
      .def("set_strings", &Call::set_strings, py::arg("index"), py::arg("values"))
      .def("resize", &Call::resize, py::arg("rows"))
      .def("reshape", &Call::reshape, py::arg("index"), py::arg("dims"))
      .def("set", &Call::set, py::arg("row"), py::arg("feature"), py::arg("value"))
      .def("get", &Call::get, py::arg("row"), py::arg("column"))
      .def("clear", &Call::clear)
      .def("cancel", &Call::cancel)
      .def("close", &Call::close)
      .def("runner", [](const py::object& self) {
        static PyMethodDef method = fast_method("run", run_call);
        return bind<Call>(&method, self);
      });
}

}  // namespace sidecall_python
