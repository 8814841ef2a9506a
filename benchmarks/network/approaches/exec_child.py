"""sidecall's `exec:`: the client library starts the server as its child; the channel is that of
`shm:`.
"""

from approach import Approach
from host import Host


class ExecNative(Approach):
    name = "exec-native"
    title = "sidecall, exec: the native server"
    group = "shared memory"
    transport = "sidecall"
    workloads = ("gbm", "penguins")
    max_rows = 1
    crossings = 1

    def start(self, host: Host) -> dict:
        return {"uri": f"exec:{host.sidecall} serve {host.workloads}/{{workload}}/model.onnx"}


class ExecPython(Approach):
    name = "exec-python"
    title = "sidecall, exec: Python with onnxruntime"
    group = "shared memory"
    transport = "sidecall"
    workloads = ("gbm",)
    max_rows = 1
    crossings = 2

    def start(self, host: Host) -> dict:
        return {
            "uri": f"exec:{host.python} {host.servers / 'sidecall_python/server.py'} {{workload}} onnxruntime"
        }
