"""tls_handshakes.py PORT CA RATE: does RATE full handshakes of TLS a second until a line arrives at
standard input. Then prints how many it has done and in how many seconds.
"""

import queue
import socket
import ssl
import sys
import threading
import time

THREADS = 4  # one handshake may take longer than the time to the next


def main(port: int, authority: str, rate: float) -> None:
    due_times: queue.Queue[float | None] = queue.Queue()
    done: list[float] = []

    def work() -> None:
        context = ssl.create_default_context(cafile=authority)
        while due_times.get() is not None:
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname="localhost"),
            ):
                done.append(time.perf_counter())

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    print("ready", flush=True)
    start = due = time.perf_counter()
    while not over.is_set():
        due += 1 / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        due_times.put(due)
    seconds = time.perf_counter() - start
    print(len(done), seconds, flush=True)
    for _ in threads:
        due_times.put(None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
