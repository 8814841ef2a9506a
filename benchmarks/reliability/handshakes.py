"""Measures how long the calls of one client take while another one does handshakes of TLS."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from processes import HERE, environment

HANDSHAKES_PER_S = 200
CALLS_PER_S = 200
ROUNDS = 5
QUIET = "call over HTTPS, without handshakes"
BUSY = f"call over HTTPS, beside {HANDSHAKES_PER_S} handshakes a second"


def make_certificate(folder: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "365", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


class SecureServer:
    """`sidecall serve` with one thread at an address for HTTPS."""

    def __init__(self, folder: Path):
        self._log = folder / "secure.log"
        words = [folder / "sidecall", "serve", folder / "echo.onnx", "--name", "echo"]
        words += ["--http", "127.0.0.1:0", "--json-log"]
        words += ["--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem"]
        self._process = subprocess.Popen(words, stderr=self._log.open("w"), env=environment())
        until = time.monotonic() + 60
        while not (found := re.search(r'"server\.listening".*?:(\d+)"', self._log.read_text())):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    f"sidecall serve: expected a server, got none\n{self._log.read_text()}"
                )
            time.sleep(0.01)
        self.port = int(found[1])

    def __enter__(self) -> "SecureServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def call_times_us(server: SecureServer, authority: Path, calls: int) -> list[float]:
    words = [sys.executable, HERE / "tls_calls.py", str(server.port), authority]
    words += [str(CALLS_PER_S), str(calls)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()]


def busy_times_us(server: SecureServer, authority: Path, calls: int) -> tuple[list[float], float]:
    """The times of the calls, and how many handshakes a second there really were."""
    words = [sys.executable, HERE / "tls_handshakes.py", str(server.port), authority]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*words, str(HANDSHAKES_PER_S)], stdin=pipe, stdout=pipe, text=True
    ) as process:
        process.stdout.readline()
        times = call_times_us(server, authority, calls)
        process.stdin.write("\n")
        process.stdin.flush()
        count, seconds = process.stdout.readline().split()
    return times, int(count) / float(seconds)


def handshake_rows(folder: Path, calls: int) -> list[dict]:
    make_certificate(folder)
    authority = folder / "cert.pem"
    quiet, busy, rates = [], [], []
    with SecureServer(folder) as server:
        for _ in range(ROUNDS):
            quiet += call_times_us(server, authority, calls)
            times, rate = busy_times_us(server, authority, calls)
            busy += times
            rates.append(rate)
    return [
        {
            "scenario": scenario,
            "approach": "native",
            "client": "python",
            "rows": 1,
            "p50_us": float(np.percentile(times, 50)),
            "p99_us": float(np.percentile(times, 99)),
            "calls": len(times),
            "handshakes_per_s": round(made, 1),
        }
        for scenario, times, made in ((QUIET, quiet, 0.0), (BUSY, busy, float(np.mean(rates))))
    ]


def handshake_p99_ratio(rows: list[dict]) -> float:
    p99 = {row["scenario"]: row["p99_us"] for row in rows}
    return p99[BUSY] / p99[QUIET]
