"""`make bench-lambda`: cold starts of functions of AWS Lambda, in Lambda's own emulator.

Adds to results/scaleout.json: how long sidecall's runtime takes to its first `next`, the size of its
zip files, and the first answer of a function beside that of the same model in Python.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import penguins

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import (
    Bar,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    make_parser,
    print_table,
)
from lambda_emulator import PYTHON_RUNTIME, Function

HERE = Path(__file__).resolve().parent
PACKAGES = ["sidecall", "onnxruntime", "scikit-learn", "joblib", "pandas", "numpy"]
PATIENCE_S = 20
MODEL = "penguins.onnx"
NATIVE, ORT = f"{MODEL}?engine=native", f"{MODEL}?engine=onnxruntime"


def train(folder: Path) -> tuple[dict, dict]:
    """Writes the model as penguins.onnx and .joblib; returns a record and its expected answer."""
    import joblib
    import sidecall

    pipeline, x = penguins.fit()
    sidecall.export(pipeline, folder / MODEL, x)
    joblib.dump(pipeline, folder / "penguins.joblib")
    row = x.iloc[[7]]
    expected = dict(zip(pipeline.classes_, pipeline.predict_proba(row)[0].tolist(), strict=True))
    return json.loads(row.to_json(orient="records"))[0], expected


@dataclass
class Contender:
    client: str
    approach: str
    command: list[str]
    environment: dict[str, str]
    answers_ms: list[float] = field(default_factory=list)
    inits_ms: list[float] = field(default_factory=list)

    def run(self, folder: Path, event: bytes, expected: dict[str, float]) -> None:
        """One cold start: from the event to its answer, which must be that of the pipeline."""
        with Function(self.command, folder, **self.environment) as function:
            begin = time.perf_counter()
            answer, _ = function.invoke(event)
            self.answers_ms.append((time.perf_counter() - begin) * 1e3)
            self.inits_ms.append(function.init_ms())
        probabilities = json.loads(answer).get("probabilities")
        if isinstance(probabilities, dict):
            probabilities = [probabilities[name] for name in expected]
        if probabilities is None or not np.allclose(
            probabilities, list(expected.values()), 0, 1e-8
        ):
            raise WrongAnswerError(f"{self.client}, {self.approach}: {answer.decode()}")


def contenders(folder: Path) -> list[Contender]:
    bootstrap = [str(folder / "bootstrap")]
    python = [sys.executable, "-m", "awslambdaric", "lambda_handlers.handle"]
    path = {"PYTHONPATH": f"{PYTHON_RUNTIME}:{HERE}", "OMP_NUM_THREADS": "1"}
    return [
        Contender("sidecall", "native", bootstrap, {"_HANDLER": NATIVE}),
        Contender("sidecall", "onnxruntime", bootstrap, {"_HANDLER": ORT}),
        Contender("python", "joblib, scikit-learn", python, path | {"MODEL": "penguins.joblib"}),
        Contender("python", "onnxruntime", python, path | {"MODEL": MODEL}),
    ]


def start_ms(folder: Path, *options: str, handler: str = NATIVE) -> float:
    """The time from the start of the program to its request for the first event."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        environment = {"AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": handler}
        begin = time.perf_counter()
        process = subprocess.Popen([folder / "bootstrap", *options], cwd=folder, env=environment)
        try:
            with listener.accept()[0] as connection:
                connection.settimeout(PATIENCE_S)
                request = connection.recv(65536)
                took = (time.perf_counter() - begin) * 1e3
                process.terminate()
                process.wait(PATIENCE_S)
        except TimeoutError:
            raise WrongAnswerError("expected a request for an event, got none") from None
        finally:
            process.kill()
            process.wait()
    if b"/invocation/next" not in request:
        raise WrongAnswerError(f"expected a request for an event, got {request!r}")
    return took


def zip_mb(command: Path, folder: Path, engine: str) -> float:
    path = folder / f"{engine}.zip"
    subprocess.run(
        [command, "lambda", MODEL, "--zip", path, "--engine", engine],
        cwd=folder,
        env=os.environ | {"SIDECALL_PYTHON": sys.executable},
        check=True,
    )
    return path.stat().st_size / 1e6


def measure(folder: Path, command: Path, is_portable: bool, quick: bool, report: Report) -> None:
    event, expected = train(folder)
    shutil.copy(command, folder / "bootstrap")
    shutil.copy(
        find_in_package("onnxruntime", "capi/libonnxruntime.so*"), folder / "libonnxruntime.so"
    )
    rounds = 1 if quick else 15
    ours, ort, joblib, _ = all_of = contenders(folder)
    for number in range(rounds):
        for contender in all_of if number % 2 == 0 else reversed(all_of):
            contender.run(folder, json.dumps(event).encode(), expected)
    starts = {"golden rows": [], "no golden rows": []}
    for _ in range(1 if quick else 40):
        starts["golden rows"].append(start_ms(folder))
        starts["no golden rows"].append(start_ms(folder, "--verify", "off"))
    report.tables["lambda"] = [
        {
            "client": each.client,
            "approach": each.approach,
            "cold_answer_ms": float(np.median(each.answers_ms)),
            "init_ms": float(np.median(each.inits_ms)),
            "fastest_init_ms": min(each.inits_ms),
            "rounds": rounds,
        }
        for each in all_of
    ] + [
        {"client": "sidecall", "approach": f"native, {name}", "start_ms": float(np.median(times))}
        for name, times in starts.items()
    ]
    ratios = np.array(ours.answers_ms) / np.array(joblib.answers_ms)
    report.bars += [
        Bar("lambda_native_start_ms", float(np.median(starts["golden rows"])), 15),
        Bar("lambda_init_ms", float(np.median(ort.inits_ms)), 60),
        Bar("lambda_vs_python", float(np.median(ratios)), 1 / 20),
    ]
    if is_portable:
        report.bars.append(Bar("lambda_native_zip_mb", zip_mb(command, folder, "native"), 3))
        report.bars.append(Bar("lambda_zip_mb", zip_mb(command, folder, "onnxruntime"), 20))


def main() -> int:
    parser = make_parser(__doc__.split("\n")[0], "scaleout", "the CMake build folder")
    parser.add_argument(
        "--not-portable",
        action="store_true",
        help="measure the command of this build, which no zip file takes; the quick run does so",
    )
    options = parser.parse_args()
    is_portable = not (options.not_portable or options.quick)
    command = options.build.resolve() / ("portable" if is_portable else "") / "bin/sidecall"
    report = Report("scaleout", describe_versions(PACKAGES))
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), command, is_portable, options.quick, report)
    head = ["function", "cold answer, ms", "init, ms", "fastest init, ms"]
    cold = [row for row in report.tables["lambda"] if "init_ms" in row]
    print_table(
        head,
        [
            [f"{row['client']}, {row['approach']}"]
            + [f"{row[key]:.1f}" for key in ("cold_answer_ms", "init_ms", "fastest_init_ms")]
            for row in cold
        ],
    )
    if not options.quick or options.output:
        print(report.write(options.output, keep_others=True))
    report.print_bars()
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
