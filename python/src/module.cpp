// Defines the module sidecall._native: the interface that python/sidecall/_protocols.py describes,
// over the C ABI.
#include <optional>
#include <string>

#include "fast.h"
#include "gil.h"
#include "model.h"
#include "server.h"

namespace sidecall_python {
namespace {

sidecall_model_options options_of(const char* onnxruntime, const char* package) {
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.onnxruntime = onnxruntime;
  options.onnxruntime_package = package;
  return options;
}

using Text = std::optional<std::string>;

const char* c_str(const Text& text) { return text ? text->c_str() : nullptr; }

py::object open(const py::bytes& source, bool is_file, int32_t verify, int32_t extra,
                int64_t timeout_ns, const Text& onnxruntime, const Text& package, int64_t wait_ns,
                bool allow_exec, int32_t engine) {
  sidecall_model_options options = options_of(c_str(onnxruntime), c_str(package));
  options.verify = verify;
  options.extra = extra;
  options.timeout_ns = timeout_ns;
  options.wait_ns = wait_ns;
  options.allow_exec = allow_exec ? 1 : 0;
  options.engine = engine;
  const char* const data = PyBytes_AS_STRING(source.ptr());
  const auto length = static_cast<size_t>(PyBytes_GET_SIZE(source.ptr()));
  CallError error;
  sidecall_model* model = nullptr;
  error.check(without_gil([&] {
    return is_file ? sidecall_model_open(data, &options, &model, error.get())
                   : sidecall_model_open_bytes(data, length, &options, &model, error.get());
  }));
  std::unique_ptr<sidecall_model, decltype(&sidecall_model_close)> owner(model,
                                                                         sidecall_model_close);
  auto made = std::make_unique<Model>();
  made->take(owner.release());
  return give_to_python(std::move(made));
}

py::str describe_engine(const Text& onnxruntime, const Text& package) {
  const sidecall_model_options options = options_of(c_str(onnxruntime), c_str(package));
  CallError error;
  sidecall_text* text = nullptr;
  error.check(sidecall_engine_describe(&options, &text, error.get()));
  const std::unique_ptr<sidecall_text, decltype(&sidecall_text_close)> owner(text,
                                                                             sidecall_text_close);
  return {text->data, text->length};
}

// Arguments: inputs, outputs, timeout_ns.
PyObject* run_model(PyObject* self, PyObject* const* args, Py_ssize_t) {
  return guard([&] { return bound<Model>(self)->run(args[0], args[1], nanoseconds(args[2])); });
}

// Arguments: records, timeout_ns.
PyObject* predict_model(PyObject* self, PyObject* const* args, Py_ssize_t) {
  return guard([&] { return bound<Model>(self)->predict(args[0], nanoseconds(args[1])); });
}

}  // namespace

void add_model(py::module_& module) {
  py::class_<Model>(module, "Model", plain_type(), py::is_final())
      .def("describe", &Model::describe)
      .def("id", &Model::id)
      .def("verify", &Model::verify)
      .def("close", &Model::close)
      .def(
          "find",
          [](const Model& model, int32_t kind, const py::object& name) {
            return model.find(kind, name.ptr());
          },
          py::arg("kind"), py::arg("name"))
      .def("runner",
           [](const py::object& self) {
             static PyMethodDef method = fast_method("run", run_model);
             return bind<Model>(&method, self);
           })
      .def("predictor",
           [](const py::object& self) {
             static PyMethodDef method = fast_method("predict", predict_model);
             return bind<Model>(&method, self);
           })
      .def("predict_columns", &Model::predict_columns, py::arg("columns"), py::arg("rows"),
           py::arg("timeout_ns"));
}

}  // namespace sidecall_python

PYBIND11_MODULE(_native, module) {
  using namespace sidecall_python;
  module.doc() = "The native backend of sidecall; use the package, not this module.";
  add_model(module);
  add_call(module);
  add_queue(module);
  add_server(module);
  module.def("open", &open, py::arg("source"), py::arg("is_file"), py::arg("verify"),
             py::arg("extra"), py::arg("timeout_ns"), py::arg("onnxruntime"), py::arg("package"),
             py::arg("wait_ns") = 0, py::arg("allow_exec") = false, py::arg("engine") = 0);
  module.def("describe_engine", &describe_engine, py::arg("onnxruntime"), py::arg("package"));
  module.def("status_name", &sidecall_status_name, py::arg("status"));
  module.def("version", &sidecall_version);
  module.def("abi_version", &sidecall_abi_version);
}
