"""A program that serves a model with ONNX Runtime exits while clients call it.

The exit destroys objects of ONNX Runtime that the threads of the server still use. Callers must not
get the errors that this causes, nor answers that were computed with such objects.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sidecall
from vector_servers import MODELS, engine_path

pytestmark = pytest.mark.usefixtures("network_library")
PROGRAM = Path(os.environ.get("SIDECALL_BUILD", Path(__file__).parents[2] / "build"))
PROGRAM = PROGRAM / "bin" / "sidecall-exits-serving"
ROUNDS = 100 if os.environ.get("SIDECALL_LONG") == "1" else 2
CALLERS = 4  # of each address
RUN_US = 300_000
RECORD = {
    "island": "Biscoe",
    "bill_length_mm": 45.1,
    "bill_depth_mm": 14.5,
    "flipper_length_mm": 215,
    "body_mass_g": 5000,
    "sex": "FEMALE",
    "year": 2008,
}


def call_to_the_end(uri: str) -> Counter[str]:
    """Calls the model until there is no server any more, and counts the outcomes."""
    outcomes: Counter[str] = Counter()
    with sidecall.open(uri, extra="ignore", verify="off") as model:
        answer = model.predict(RECORD)
        while True:
            try:
                outcomes["right" if model.predict(RECORD) == answer else "wrong"] += 1
            except sidecall.errors.Unreachable:
                return outcomes
            except sidecall.Error as error:
                outcomes[error.code if error.code == "PEER_DIED" else str(error)] += 1


@pytest.mark.parametrize("end", ["return", "exit in a thread", "quick_exit", "_exit"])
def test_callers_of_a_program_that_exits_get_answers_or_peer_died(end: str) -> None:
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        name = f"shm:exits-{uuid.uuid4().hex[:12]}"
        with subprocess.Popen(
            [PROGRAM, MODELS / "penguins.onnx", name, end, str(RUN_US)],
            env={"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            http = json.loads(process.stdout.readline())["at"]
            with ThreadPoolExecutor(2 * CALLERS) as pool:
                for counted in pool.map(call_to_the_end, [name, f"{http}/m"] * CALLERS):
                    outcomes += counted
            assert process.wait() == 3
            assert process.stderr.read() == b""
    assert set(outcomes) <= {"right", "PEER_DIED"}, outcomes
    assert outcomes["right"] > 0
