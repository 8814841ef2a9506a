"""Redis lists as a queue: RPUSH and BLPOP, a worker with redis-py."""

from approaches.brokers import Broker, program
from host import Host, free_port


class Redis(Broker):
    name = "redis"
    title = "Redis lists"
    transport = "redis"
    note = "RPUSH and BLPOP, nothing kept on disk, worker with redis-py and hiredis"

    def start(self, host: Host) -> dict:
        port = free_port()
        host.start(
            [program("redis-server"), str(host.servers / "redis/redis.conf"), "--port", str(port)]
        )
        host.wait_for_port(port, "Redis")
        self.start_worker(host, "redis", str(port))
        return {"port": port}
