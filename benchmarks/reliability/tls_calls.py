"""tls_calls.py PORT CA RATE CALLS: calls the model `echo` over HTTPS, RATE times a second over one
connection, and prints for each call how long after it was due its answer came, in microseconds.
"""

import json
import socket
import ssl
import sys
import time

WARM_UP = 50


def request() -> bytes:
    data = bytes(4 * 1024)
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [1, 1024],
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return (
        b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/octet-stream\r\n"
        b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s%s"
        % (len(head), len(head) + len(data), head, data)
    )


def call(connection: ssl.SSLSocket, sent: bytes) -> None:
    connection.sendall(sent)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"expected an answer, got {head!r}")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)


def main(port: int, authority: str, rate: float, calls: int) -> None:
    context = ssl.create_default_context(cafile=authority)
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = request()
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        for _ in range(WARM_UP):
            call(connection, sent)
        due = time.perf_counter()
        for _ in range(calls):
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            call(connection, sent)
            print(1e6 * (time.perf_counter() - due))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
