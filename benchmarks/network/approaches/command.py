"""The `sidecall` command: one process per call, and one that stays open and answers line by line."""

from approach import Approach
from host import Host


class Command(Approach):
    name = "command"
    title = "sidecall predict, one process per call"
    group = "command"
    transport = "process"
    workloads = ("penguins",)
    body = "json"
    crossings = 2
    has_crowds = False

    def start(self, host: Host) -> dict:
        return {
            "command": [host.sidecall, "predict", str(host.workloads / "{workload}/model.onnx")]
        }


class CommandStream(Approach):
    name = "command-stream"
    title = "sidecall predict --stream, a process that stays"
    group = "command"
    transport = "stream"
    workloads = ("penguins",)
    body = "json"
    crossings = 2

    def start(self, host: Host) -> dict:
        return {
            "command": [
                host.sidecall,
                "predict",
                str(host.workloads / "{workload}/model.onnx"),
                "--stream",
            ]
        }
