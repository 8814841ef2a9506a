"""Asks the original as if it ran on other CPUs, as far as numpy and OpenBLAS can imitate these.

judge.py uses it for rows that differ: if the original's own answer depends on the CPU, the row is
unstable. Each imitated CPU has a process of its own, because both libraries choose their kernels
when they load.
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from sidecall.comparing.rows import Rows
from sidecall.comparing.sides import Answers, OriginalSide, Output
from sidecall.exporting.model.original import Original

_TIMEOUT_S = 300


def others() -> list[dict[str, str]]:
    """Environments in which numpy and OpenBLAS compute as on older CPUs."""
    if platform.machine() != "x86_64":
        return []
    umath = importlib.import_module("numpy._core._multiarray_umath")

    active = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]
    newest = [name for name in active if "V4" in name or "512" in name]
    found = [{"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": " ".join(active)}]
    if newest:
        names = " ".join(newest)
        found.append({"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": names})
    return found


def ask(model: Any, outputs: list[Output], rows: Rows, folder: Path) -> Iterator[Answers]:
    """The original's answers on each of the other CPUs."""
    question, answer = folder / "question.joblib", folder / "answer.joblib"
    joblib.dump((model, outputs, rows), question)
    for other in others():
        search = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *sys.path])
        environment = os.environ | other | {"PYTHONPATH": search}
        command = [sys.executable, "-m", "parity.judging.cpus", str(question), str(answer)]
        subprocess.run(command, env=environment, check=True, timeout=_TIMEOUT_S)
        yield joblib.load(answer)


def _answer(question: str, answer: str) -> None:
    model, outputs, rows = joblib.load(question)
    with np.errstate(all="ignore"):
        joblib.dump(OriginalSide(Original(model), outputs).ask(rows), answer)


if __name__ == "__main__":
    _answer(sys.argv[1], sys.argv[2])
