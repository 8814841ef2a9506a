"""RabbitMQ request-reply: direct reply-to, a worker with pika."""

from approaches.brokers import Broker, program
from host import Host, free_port


class RabbitMq(Broker):
    name = "rabbitmq"
    title = "RabbitMQ"
    transport = "amqp"
    note = "direct reply-to, transient messages without acknowledgement, worker with pika"

    def start(self, host: Host) -> dict:
        port = start_rabbitmq(host)
        self.start_worker(host, "rabbitmq", str(port))
        return {"host": "127.0.0.1", "port": port, "queue": "queue"}


def start_rabbitmq(host: Host) -> int:
    """Starts the broker; returns its port."""
    server = program("/usr/lib/rabbitmq/bin/rabbitmq-server")
    port, mapper, distribution = free_port(), free_port(), free_port()
    (host.folder / "plugins").write_text("[].\n")
    environment = {
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(
            distribution
        ),  # the default is RABBITMQ_NODE_PORT + 20 000, which can be more than 65 535
        "RABBITMQ_CONFIG_FILE": str(host.servers / "rabbitmq/rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(host.folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(host.folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(host.folder / "log"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "HOME": str(host.folder),  # the folder in which Erlang keeps its cookie
    }
    # Start epmd here; otherwise Erlang starts it as a daemon that keeps running after the
    # benchmark.
    host.start([program("epmd")], environment)
    host.wait_for_port(mapper, "epmd")
    host.start([server], environment)
    host.wait_for_port(port, "RabbitMQ")
    return port
