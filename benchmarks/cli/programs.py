"""The measured programs, the CSV files that they read and write, and the rows of the document.

Used by run.py and by benchmarks/engine.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from common import Report, find_in_package
from models import TOLERANCE, Workload

DISTINCT = 20_000  # distinct rows of the large file, which repeats them


class Programs:
    """The measured programs and the environment in which they start."""

    def __init__(self, build: Path):
        self.command = Path(os.environ.get("BENCH_SIDECALL_CLI", build / "bin/sidecall"))
        self.cold = build / "bin/bench-cli-cold"
        for path in (self.command, self.cold):
            if not path.is_file():
                raise FileNotFoundError(
                    f"expected {path}: build it with -DSIDECALL_BUILD_BENCHMARKS=ON "
                    "(make bench-cli does)"
                )
        self.library = find_in_package("onnxruntime", "capi/libonnxruntime.so.*")
        self.environment = os.environ | {
            "SIDECALL_ONNXRUNTIME": str(self.library),
            "ORT_DISABLE_TELEMETRY": "1",
        }

    @contextmanager
    def served(self, model: Path, at: str) -> Iterator[None]:
        with subprocess.Popen(
            [self.command, "serve", model, "--at", at],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                deadline = time.monotonic() + 30
                while (
                    subprocess.run(
                        [self.command, "status", at, "--ready"], capture_output=True, check=False
                    ).returncode
                    != 0
                ):
                    if time.monotonic() > deadline or server.poll() is not None:
                        raise RuntimeError("sidecall serve did not become ready")
                    time.sleep(0.05)
                yield
            finally:
                server.terminate()


def add_row(
    report: Report, scenario: str, rows: int, client: str, approach: str, times_us: np.ndarray
) -> dict:
    """Adds a row of the document, and returns it."""
    p50, p99 = np.percentile(times_us, [50, 99])
    row = {"scenario": scenario, "rows": rows, "approach": approach, "client": client}
    report.rows.append(row | {"p50_us": float(p50), "p99_us": float(p99), "calls": len(times_us)})
    return report.rows[-1]


def differs(got: np.ndarray, expected: np.ndarray) -> bool:
    return got.shape != expected.shape or not (np.abs(got - expected) <= TOLERANCE).all()


def width_of(workload: Workload) -> int:
    return int((workload.folder / "shape.txt").read_text(encoding="utf-8").split()[1])


def write_csv(path: Path, workload: Workload, rows: int) -> None:
    """Writes `rows` rows of features: the first DISTINCT rows of the workload, again and again."""
    width = width_of(workload)
    values = np.fromfile(workload.folder / "features.f64").reshape(-1, width)[:DISTINCT].tolist()
    block = "".join(",".join(map(repr, row)) + "\n" for row in values)
    names = feature_names(workload)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(names) + "\n")
        for _ in range(rows // DISTINCT):
            file.write(block)


def feature_names(workload: Workload) -> list[str]:
    import sidecall

    with sidecall.open(str(workload.folder / "model.onnx")) as model:
        return [feature.name for feature in model.features]


def check_csv(path: Path, rows: int, expected: np.ndarray) -> str | None:
    with path.open(encoding="utf-8") as file:
        next(file)
        got = np.array(
            [
                [float(word.strip('"')) for word in next(file).split(",")[1:]]
                for _ in range(DISTINCT)
            ]
        )
        count = DISTINCT + sum(1 for _ in file)
    if count != rows:
        return f"{count} rows of {rows}"
    return (
        "answers are not those of the original model" if differs(got, expected[:DISTINCT]) else None
    )
