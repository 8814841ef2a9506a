"""gRPC with prediction.proto: servers in Python (grpcio) and C++, over TCP and a Unix socket."""

from approach import Approach
from host import Host, UnavailableError, free_port


class _Grpc(Approach):
    group = "gRPC"
    transport = "grpc"
    body = "protobuf"
    crossings = 2
    is_unix = False

    def start(self, host: Host) -> dict:
        command = self.command(host)
        if self.is_unix:
            socket = host.folder / "grpc.sock"
            host.start([*command, f"unix:{socket}"])
            host.wait_for_socket(socket, "the gRPC server")
            return {"target": f"unix:{socket}"}
        address = f"127.0.0.1:{free_port()}"
        host.start([*command, address])
        host.wait_for_port(int(address.split(":")[1]), "the gRPC server")
        return {"target": address}

    def command(self, host: Host) -> list[str]:
        raise NotImplementedError


class GrpcPythonTcp(_Grpc):
    name = "grpc-python-tcp"
    title = "gRPC, Python server"
    workloads = ("gbm", "null", "image", "penguins", "forest")
    note = "grpc.server with ten threads; grpc.aio was about as fast"

    def command(self, host: Host) -> list[str]:
        if not (host.peers / "python/prediction_pb2_grpc.py").exists():
            raise UnavailableError(
                "the stubs were not generated: run python benchmarks/network/peers.py stubs"
            )
        return [host.python, str(host.servers / "grpc_python/server.py")]


class GrpcPythonUnix(GrpcPythonTcp):
    name = "grpc-python-unix"
    title = "gRPC, Python server, Unix socket"
    workloads = ("gbm",)
    max_rows = 1
    is_unix = True


class GrpcCppTcp(_Grpc):
    name = "grpc-cpp-tcp"
    workloads = ("gbm", "null", "image", "penguins")
    title = "gRPC, C++ server"
    note = "Debian's gRPC, built with optimisation; the model through ONNX Runtime's C API"

    def command(self, host: Host) -> list[str]:
        server = host.build / "bin/bench-network-grpc-server"
        if not server.exists():
            raise UnavailableError(
                "bench-network-grpc-server was not built: it needs libgrpc++-dev and protobuf-compiler-grpc"
            )
        return [str(server)]


class GrpcCppUnix(GrpcCppTcp):
    name = "grpc-cpp-unix"
    title = "gRPC, C++ server, Unix socket"
    is_unix = True
