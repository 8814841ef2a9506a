"""`make bench-cold-start`: how soon a new process gives its first answer, and what memory it takes.

Each way to call a model starts a process of its own, calls it once, and ends it; all have the same
pipeline with strings and 100 trees. The time runs from the start of the process to its answer. The
memory is the process's own and its share of what it has in common with others (PSS), and that of
its children, after the answer. The rows go to scaleout.json.

python benchmarks/scaleout/cold_start.py --build build
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import joblib
import psutil
import sidecall

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "network"))

import flights
from common import (
    RESULTS,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    make_parser,
    print_table,
)
from host import free_port

PATIENCE_S = 120
# A program that answers one record and then waits, so that its memory can be read.
IN_PROCESS = """
import json, sys
{code}
print(json.dumps(answer), flush=True)
sys.stdin.read()
"""
WITH_SIDECALL = """
import sidecall
answer = sidecall.open(sys.argv[1]).predict(json.loads(sys.argv[2]))["label"]
"""
WITH_SKLEARN = """
import joblib, pandas
record = pandas.DataFrame([json.loads(sys.argv[2])])
answer = joblib.load(sys.argv[1]).predict(record)[0]
"""
FASTAPI = """
import os, joblib, pandas
from fastapi import FastAPI
app, model = FastAPI(), joblib.load(os.environ["MODEL"])

@app.post("/predict")
def predict(record: dict) -> dict:
    return {"label": model.predict(pandas.DataFrame([record]))[0]}
"""


@dataclass(frozen=True)
class Way:
    """One way to call the model. `command` starts it; `call` returns its first answer.

    `call` takes the process and returns None while the process is not ready.
    """

    title: str
    command: list[str]
    call: Callable[[subprocess.Popen], str | None]
    environment: dict[str, str]


def label_on_stdout(process: subprocess.Popen) -> str:
    line = process.stdout.readline()
    if not line:
        raise WrongAnswerError(f"{process.args[0]}: ended without an answer")
    answer = json.loads(line)
    return answer if isinstance(answer, str) else answer["label"]


def label_over_http(url: str, record: dict) -> Callable[[subprocess.Popen], str | None]:
    def call(process: subprocess.Popen) -> str | None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(record).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)["label"]
        except OSError:
            return None

    return call


def ways(folder: Path, build: Path, record: dict) -> list[Way]:
    text, python, command = json.dumps(record), sys.executable, str(build / "bin/sidecall")
    file, pickle = str(folder / "flights.onnx"), str(folder / "flights.joblib")
    (folder / "app.py").write_text(FASTAPI)
    found: list[Way] = []
    engine = {
        "SIDECALL_ONNXRUNTIME": str(find_in_package("onnxruntime", "capi/libonnxruntime.so*"))
    }
    for name in ("native", "onnxruntime"):
        environment = engine | {"SIDECALL_ENGINE": name}
        port = free_port()
        found += [
            Way(
                f"the command, {name}",
                # Its input stays open, so it waits after its answer.
                [command, "predict", file],
                label_on_stdout,
                environment,
            ),
            Way(
                f"sidecall serve --http, {name}",
                [command, "serve", file, "--name", "m", "--http", f"127.0.0.1:{port}"],
                label_over_http(f"http://127.0.0.1:{port}/v2/models/m/predict", record),
                environment,
            ),
        ]
    port = free_port()
    uvicorn = [python, "-m", "uvicorn", "app:app", "--app-dir", str(folder)]
    return [
        *found,
        Way(
            "Python with sidecall",
            [python, "-c", IN_PROCESS.format(code=WITH_SIDECALL), file, text],
            label_on_stdout,
            {},
        ),
        Way(
            "Python with scikit-learn",
            [python, "-c", IN_PROCESS.format(code=WITH_SKLEARN), pickle, text],
            label_on_stdout,
            {},
        ),
        Way(
            "FastAPI with scikit-learn",
            [*uvicorn, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"],
            label_over_http(f"http://127.0.0.1:{port}/predict", record),
            {"MODEL": pickle},
        ),
    ]


def memory_mib(process: subprocess.Popen) -> float:
    root = psutil.Process(process.pid)
    everything = [root, *root.children(recursive=True)]
    return sum(each.memory_full_info().pss for each in everything) / 2**20


def start(way: Way, record: dict, expected: str) -> tuple[float, float]:
    """Seconds to the first answer, and the memory in MiB then."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        way.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | way.environment,
    )
    try:
        if way.command[1] == "predict":
            process.stdin.write(json.dumps(record).encode() + b"\n")
            process.stdin.flush()
        while (label := way.call(process)) is None:
            if process.poll() is not None or time.perf_counter() - begun > PATIENCE_S:
                raise WrongAnswerError(f"{way.title}: no answer, exit code {process.poll()}")
            time.sleep(0.001)
        seconds = time.perf_counter() - begun
        if label != expected:
            raise WrongAnswerError(f"{way.title}: expected {expected}, got {label}")
        return seconds, memory_mib(process)
    finally:
        with suppress(OSError):
            process.stdin.close()
        process.terminate()
        process.wait(30)


def main() -> int:
    arguments = make_parser(
        "Measures first answers and memory of new processes.", "scaleout", "the build folder"
    ).parse_args()
    rounds, rows = (1, 1000) if arguments.quick else (9, 20_000)
    with tempfile.TemporaryDirectory(prefix="sidecall-cold-start-") as name:
        folder, frame = Path(name), flights.read_flights()
        pipeline = flights.fit(frame, rows)
        sample = frame[flights.FEATURES].dropna().head(100)
        sidecall.export(pipeline, folder / "flights.onnx", sample)
        joblib.dump(pipeline, folder / "flights.joblib")
        record = sample.iloc[0].to_dict()
        expected = pipeline.predict(sample.head(1))[0]
        table: dict[str, list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for way in ways(folder, arguments.build.resolve(), record):
                table.setdefault(way.title, []).append(start(way, record, expected))
    found = [
        {
            "way": title,
            "first_answer_ms": round(1000 * median(seconds for seconds, _ in each), 1),
            "memory_mib": round(median(memory for _, memory in each), 1),
        }
        for title, each in table.items()
    ]
    print_table(list(found[0]), [[str(value) for value in row.values()] for row in found])
    if not arguments.quick or arguments.output:
        report = Report("scaleout", describe_versions(["numpy", "onnxruntime", "scikit-learn"]))
        report.tables["cold_starts"] = found
        report.write(arguments.output or RESULTS / "scaleout.json", keep_others=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
