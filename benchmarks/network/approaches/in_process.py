"""The model in the caller's process: sidecall, the language's own onnxruntime, generated code,
scikit-learn.
"""

from approach import Approach
from host import Host


class InProcess(Approach):
    name = "in-process"
    title = "sidecall, in process"
    group = "in process"
    transport = "sidecall"
    workloads = ("gbm", "null", "image", "penguins")

    def start(self, host: Host) -> dict:
        return {"uri": str(host.workloads / "{workload}/model.onnx")}


class OnnxRuntime(Approach):
    name = "onnxruntime"
    title = "onnxruntime, in process"
    group = "in process"
    transport = "onnxruntime"
    clients = ("node", "python")
    without = {"native": "ONNX Runtime's C API is compared in benchmarks/inproc"}
    note = "PyPI's onnxruntime and npm's onnxruntime-node, one thread"

    def start(self, host: Host) -> dict:
        return {}


class Generated(Approach):
    name = "generated"
    title = "generated code (m2cgen), in process"
    group = "in process"
    transport = "generated"
    clients = ("native", "node")
    workloads = ("gbm",)
    engine = "generated"
    without = {
        "python": "generated Python code is interpreted, and a Python program can call the model itself"
    }
    max_rows = 1  # the generated code takes one row
    note = "a LightGBM model with as many trees of the same depth: m2cgen supports neither preprocessing nor labels"

    def start(self, host: Host) -> dict:
        return {"twin": str(host.workloads / "{workload}/twin")}


class ScikitLearn(Approach):
    name = "scikit-learn"
    title = "scikit-learn, in process"
    group = "in process"
    transport = "sklearn"
    clients = ("python",)
    workloads = ("gbm", "penguins", "forest")
    engine = "scikit-learn"
    without = {
        "native": "scikit-learn runs in Python only",
        "node": "scikit-learn runs in Python only",
    }
    note = "the trained model without conversion"

    def start(self, host: Host) -> dict:
        return {}
