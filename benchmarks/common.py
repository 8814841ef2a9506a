"""What every benchmark shares: the machine, the bars, the table, and the document in results/; used
by */run.py.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


class WrongAnswerError(Exception):
    """An approach gave an answer that differs from the reference; the benchmark exits with 1."""


class DocumentError(ValueError):
    """A document does not have the form that benchmarks/README.md promises to its readers."""


@dataclass(frozen=True)
class Bar:
    """A target: `value` should be at most `limit`, or at least `limit` if the bar says so."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def document(self) -> dict:
        return {"name": self.name, "value": self.value, "limit": self.limit, "holds": self.holds}


@dataclass
class Report:
    """One document of results/: rows in the order in which they were measured, bars last."""

    name: str
    versions: dict[str, str]
    rows: list[dict] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: dict[str, list[dict]] = field(default_factory=dict)  # rows that are not latencies

    def document(self) -> dict:
        return {
            "benchmark": self.name,
            "machine": describe_machine(),
            "versions": self.versions,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "notes": self.notes,
            "rows": self.rows,
            **self.tables,
            "bars": [bar.document() for bar in self.bars],
        }

    def write(self, path: Path | None = None, keep_others: bool = False) -> Path:
        """Writes the document. `keep_others`: bars and tables of other targets in the file stay.

        `runs` then says of each table on what machine and by which command it was made.
        """
        document = self.document()
        path = path or RESULTS / f"{self.name}.json"
        if keep_others:
            run = {key: document[key] for key in ("machine", "versions", "command")}
            document["runs"] = dict.fromkeys(self.tables, run)
        if keep_others and path.exists():
            document = _merged(document, json.loads(path.read_text(encoding="utf-8")))
        check_document(document)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return path

    def print_bars(self) -> None:
        width = max(len(bar.name) for bar in self.bars)
        print(f"\n{'bar':<{width}}  {'value':>9}  {'limit':>9}")
        for bar in self.bars:
            print(
                f"{bar.name:<{width}}  {bar.value:>9.3f}  {bar.limit:>9.3f}  {'holds' if bar.holds else 'MISSED'}"
            )


def _merged(new: dict, old: dict) -> dict:
    names = {bar["name"] for bar in new["bars"]}
    bars = [bar for bar in old["bars"] if bar["name"] not in names] + new["bars"]
    rows = new["rows"] or old["rows"]
    runs = old.get("runs", {}) | new["runs"]
    return old | new | {"rows": rows, "bars": bars, "runs": runs}


def parse(
    description: str,
    name: str,
    build_help: str = "the CMake build folder, in which the benchmarks were built",
) -> argparse.Namespace:
    """The options of every benchmark except network."""
    return make_parser(description, name, build_help).parse_args()


def make_parser(description: str, name: str, build_help: str) -> argparse.ArgumentParser:
    """The parser of these options, to which a benchmark can add its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", type=Path, required=True, help=build_help)
    parser.add_argument(
        "--output",
        type=Path,
        help=f"JSON file to write (default: benchmarks/results/{name}.json)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few calls: checks the answers, does not measure",
    )
    return parser


def run_on_onnxruntime() -> str:
    """Lets sidecall run every file with ONNX Runtime, in this process and in those that it starts.

    Then a comparison with ONNX Runtime, or with servers that use it, shows the cost of the route
    and not the difference between engines. benchmarks/engine measures the native engine. Returns a
    note for the report.
    """
    os.environ["SIDECALL_ENGINE"] = "onnxruntime"
    return (
        "sidecall runs every file with ONNX Runtime; results/engine.json measures the native engine"
    )


def guarded(main: Callable[[], int]) -> int:
    """Runs main and returns its exit code, or 1 if an answer was wrong.

    SIGTERM ends main like an exception, so that everything that it started ends too.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return main()
    except WrongAnswerError as error:
        print(f"wrong answers:\n{error}", file=sys.stderr)
        return 1


def describe_machine() -> dict:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = next(
        (
            int(line.split()[1]) // 1024
            for line in _lines("/proc/meminfo")
            if line.startswith("MemTotal")
        ),
        0,
    )
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "memory_mib": memory,
        "kernel": platform.release().split("-")[0],
        "libc": " ".join(platform.libc_ver()),
        "load_before": os.getloadavg()[0],
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def describe_versions(packages: Iterable[str]) -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def find_in_package(package: str, pattern: str) -> Path:
    """The last file that matches `pattern` in the folder of an installed Python package."""
    spec = importlib.util.find_spec(package)
    found = sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []
    if not found:
        raise FileNotFoundError(f"expected {pattern} in package {package}: pip install '.[bench]'")
    return found[-1]


def check_document(document: dict) -> None:
    """Raises DocumentError if a key is missing, has another type or an impossible value."""
    expected = {
        "benchmark": str,
        "machine": dict,
        "versions": dict,
        "command": list,
        "notes": list,
        "rows": list,
        "bars": list,
    }
    for key, kind in expected.items():
        if not isinstance(document.get(key), kind):
            raise DocumentError(
                f"{key}: expected {kind.__name__}, got {type(document.get(key)).__name__}"
            )
    for row in document["rows"]:
        _check_row(
            row,
            {
                "scenario": str,
                "approach": str,
                "client": str,
                "rows": int,
                "p50_us": float,
                "p99_us": float,
                "calls": int,
            },
        )
        if not 0 < row["p50_us"] <= row["p99_us"]:
            raise DocumentError(
                f"{row['scenario']}, {row['approach']}: expected 0 < p50_us <= p99_us"
            )
    for bar in document["bars"]:
        _check_row(bar, {"name": str, "value": float, "limit": float, "holds": bool})
    names = [bar["name"] for bar in document["bars"]]
    if len(set(names)) != len(names):
        raise DocumentError("bars: expected unique names")


def _check_row(row: dict, kinds: dict[str, type]) -> None:
    for key, kind in kinds.items():
        value = row.get(key)
        fits = (
            isinstance(value, bool)
            if kind is bool
            else isinstance(value, (int, float) if kind is float else kind)
            and not isinstance(value, bool)
        )
        if not fits or (kind is float and not math.isfinite(value)):
            raise DocumentError(f"{key}: expected {kind.__name__}, got {value!r}")


def by_scenario(rows: Iterable[dict]) -> dict[str, dict[tuple[str, str, int], dict]]:
    """The rows of each scenario, by client, approach and number of rows per call."""
    found: dict[str, dict[tuple[str, str, int], dict]] = {}
    for row in rows:
        key = row["client"], row["approach"], row["rows"]
        found.setdefault(row["scenario"], {})[key] = row
    return found


def print_table(
    head: list[str], rows: list[list[str]], *, write: Callable[[str], object] = print
) -> None:
    """Prints a table. The first column is text, the others are numbers."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        write(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )
