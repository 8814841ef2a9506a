"""NATS request-reply: a worker with nats-py."""

from approaches.brokers import Broker, program
from host import Host, free_port


class Nats(Broker):
    name = "nats"
    title = "NATS"
    transport = "nats"
    note = "core NATS request-reply, nothing stored, worker with nats-py on uvloop"

    def start(self, host: Host) -> dict:
        port = free_port()
        host.start(
            [
                program("nats-server"),
                "--config",
                str(host.servers / "nats/nats.conf"),
                "--port",
                str(port),
            ]
        )
        host.wait_for_port(port, "NATS")
        self.start_worker(host, "nats", f"nats://127.0.0.1:{port}")
        return {"url": f"nats://127.0.0.1:{port}"}
