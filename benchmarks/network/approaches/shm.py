"""sidecall over shared memory, in the default waiting mode and in the spinning mode.

Servers: the native server, a Python server with the same ONNX session, and a Python server with
scikit-learn.
"""

from approach import Approach
from host import Host

SPIN = {"SIDECALL_SPIN_US": "1000000"}


class _Shm(Approach):
    group = "shared memory"
    transport = "sidecall"
    crossings = 1  # into the segment, from which the engine reads

    def start(self, host: Host) -> dict:
        """Starts one server per workload, because one address serves one model."""
        names = [name for name in host.workload_names() if name in self.workloads]
        for name in names:
            at = host.folder / f"{name}.sock"
            host.start([*self.command(host, name), "--at", f"shm:{at}"], self.client_environment)
        for name in names:
            host.wait_for_file(host.folder / f"{name}.sock", "the sidecall server")
        return {"uri": f"shm:{host.folder}/{{workload}}.sock"}

    def command(self, host: Host, name: str) -> list[str]:
        raise NotImplementedError


class ShmNative(_Shm):
    name = "shm-native"
    title = "sidecall, shm: to the native server"
    workloads = ("gbm", "null", "image", "penguins")

    def command(self, host: Host, name: str) -> list[str]:
        return [host.sidecall, "serve", str(host.workloads / name / "model.onnx")]


class ShmNativeSpin(ShmNative):
    name = "shm-native-spin"
    title = "sidecall, shm: to the native server, spinning"
    workloads = ("gbm", "null")
    max_rows = 1
    client_environment = SPIN
    note = "SIDECALL_SPIN_US on both sides: a waiting side keeps its CPU busy"


class ShmPython(_Shm):
    name = "shm-python"
    title = "sidecall, shm: to Python with onnxruntime"
    crossings = 2  # into the segment and out of it, because a Python function receives copies

    def command(self, host: Host, name: str) -> list[str]:
        return [host.python, str(host.servers / "sidecall_python/server.py"), name, "onnxruntime"]


class ShmPythonSpin(ShmPython):
    name = "shm-python-spin"
    title = "sidecall, shm: to Python with onnxruntime, spinning"
    workloads = ("gbm",)
    max_rows = 1
    client_environment = SPIN
    note = ShmNativeSpin.note


class ShmSklearn(_Shm):
    name = "shm-sklearn"
    title = "sidecall, shm: to Python with scikit-learn"
    engine = "scikit-learn"
    workloads = ("gbm", "penguins", "forest")
    crossings = 2

    def command(self, host: Host, name: str) -> list[str]:
        return [host.python, str(host.servers / "sidecall_python/server.py"), name, "scikit-learn"]
