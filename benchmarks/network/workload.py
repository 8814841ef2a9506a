"""Defines a workload: a file of workloads/ that holds a subclass of `Workload`.

Used by run.py, the tests, and every workload. `python workload.py --out FOLDER [NAME...]` writes
the folders for inspection; clients/README.md describes their content.
"""

import argparse
import importlib
import json
import pkgutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# labels of rows whose two best scores differ by less than this many tolerances are not checked
TIE = 2


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    dims: tuple[int, ...]  # without the dimension of rows

    def document(self) -> dict:
        return {"name": self.name, "dtype": self.dtype, "dims": list(self.dims)}


@dataclass
class Material:
    """The parts of a workload; `write_folder` writes them for clients and servers."""

    outputs: list[Tensor]
    expected: np.ndarray  # float64 [rows, numbers]: the original model's answers
    input: Tensor | None = None  # None for records
    rows: np.ndarray | None = None  # float32 [ring + max_rows, *dims]
    records: list[dict[str, Any]] = field(default_factory=list)
    classes: list[Any] = field(default_factory=list)
    original: object = None  # a scikit-learn model, for model.joblib


class Workload:
    """A model and the rows that it is called with.

    Class attributes describe it; `make` trains it and writes its own files.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    kind: ClassVar[str] = "tensor"
    ring: ClassVar[int] = 1024  # number of distinct calls
    rows: ClassVar[tuple[int, ...]] = (1,)  # the measured numbers of rows per call
    tolerance: ClassVar[float] = 1e-5

    def make(self, folder: Path) -> Material:
        """Writes model.onnx if there is one, and returns the rest. Deterministic."""
        raise NotImplementedError

    def write(self, parent: Path) -> Path:
        folder = parent / self.name
        folder.mkdir(parents=True)
        material = self.make(folder)
        write_folder(folder, self, material)
        return folder


def write_folder(folder: Path, workload: Workload, made: Material) -> None:
    document = {
        "name": workload.name,
        "kind": workload.kind,
        "ring": workload.ring,
        "max_rows": max(workload.rows),
        "tolerance": workload.tolerance,
        "input": None
        if made.input is None
        else {"name": made.input.name, "dims": list(made.input.dims)},
        "outputs": [tensor.document() for tensor in made.outputs],
        "classes": made.classes,
    }
    (folder / "workload.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    made.expected.astype(np.float64).tofile(folder / "expected.f64")
    _labels(made, workload.tolerance).tofile(folder / "labels.i64")
    if made.rows is not None:
        made.rows.astype(np.float32).tofile(folder / "input.f32")
    if made.records:
        text = "".join(json.dumps(record) + "\n" for record in made.records)
        (folder / "records.jsonl").write_text(text, encoding="utf-8")
    if made.original is not None:
        import joblib

        joblib.dump(made.original, folder / "model.joblib")


def _labels(made: Material, tolerance: float) -> np.ndarray:
    if not made.classes:
        return np.full(len(made.expected), -1, np.int64)
    best = np.sort(made.expected, axis=1)
    is_tie = best[:, -1] - best[:, -2] <= TIE * tolerance
    return np.where(is_tie, -1, made.expected.argmax(axis=1)).astype(np.int64)


def all_workloads() -> list[Workload]:
    found = []
    for module in sorted(
        info.name for info in pkgutil.iter_modules([str(Path(__file__).parent / "workloads")])
    ):
        loaded = importlib.import_module(f"workloads.{module}")
        for value in vars(loaded).values():
            if (
                isinstance(value, type)
                and issubclass(value, Workload)
                and value.__module__ == loaded.__name__
            ):
                found.append(value())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("names", nargs="*", help="workloads to write; by default all")
    options = parser.parse_args()
    for workload in all_workloads():
        if not options.names or workload.name in options.names:
            print(workload.write(options.out))


if __name__ == "__main__":
    # import it under the name that workloads/ use, so that no second copy of the module exists
    from workload import main as run

    run()
