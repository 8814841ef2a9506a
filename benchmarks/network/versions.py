"""The versions of everything that took part in a run. Used by run.py."""

import re
import subprocess

PACKAGES = [
    "onnxruntime",
    "scikit-learn",
    "numpy",
    "fastapi",
    "uvicorn",
    "grpcio",
    "pika",
    "confluent-kafka",
    "redis",
    "nats-py",
    "tritonclient",
    "pytest-benchmark",
]
PROGRAMS = {
    "node": ["node", "--version"],
    "rabbitmq": ["dpkg-query", "-W", "-f=${Version}", "rabbitmq-server"],
    "redis-server": ["redis-server", "--version"],
    "nats-server": ["nats-server", "--version"],
    "grpc++": ["pkg-config", "--modversion", "grpc++"],
    "libcurl": ["curl-config", "--version"],
}


def programs() -> dict[str, str]:
    """The versions of programs and libraries outside of Python, without those that are absent."""
    found = {}
    for name, command in PROGRAMS.items():
        try:
            said = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=20
            ).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        number = re.search(r"\d+(\.\d+)+", said)
        if number:
            found[name] = number[0]
    return found
