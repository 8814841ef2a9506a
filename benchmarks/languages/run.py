"""`make bench-languages`: what a call costs in each language, beside the same call in C.

Writes results/languages.json, prints tables and bars. client.c describes the requests that every
client answers.
"""

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import sidecall
from common import Bar, Report, WrongAnswerError, describe_versions, guarded, parse, print_table
from models import draw_rows
from rounds import BLOCK, Client

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODEL = ROOT / "tests/vectors/models/gbm.onnx"
ROWS = 1024
FLIGHT = 64
KINDS = ("call", "record")  # the requests whose calls are timed in blocks


@dataclass
class Language:
    """A client, and the nanoseconds of one call in each round."""

    name: str
    client: Client
    runs: int = 0  # on a server in each round
    medians: dict[str, list[float]] = field(default_factory=dict)
    times: dict[str, list[np.ndarray]] = field(default_factory=dict)


def build_clients(build: Path) -> dict[str, list[str]]:
    """Compiles the clients in languages that are installed; returns their commands."""
    commands = {"c": [str(build / "bin/bench-languages")]}
    environment = os.environ | {"SIDECALL_LIB_DIR": str(build / "lib")}
    cargo = working_cargo()
    if cargo:
        target = {"CARGO_TARGET_DIR": str(build / "rust")}
        subprocess.run(
            [cargo, "build", "--quiet", "--release", "--offline"],
            cwd=HERE / "rust",
            env=environment | target | {"PATH": f"{Path(cargo).parent}:{os.environ['PATH']}"},
            check=True,
        )
        commands["rust"] = [str(build / "rust/release/languages")]
    if shutil.which("go"):
        program = str(build / "go/languages")
        # Go links again only if these words change.
        linked = f"-L{build}/lib -L{build}/lib/{digest(build / 'lib/libsidecall.a')}"
        linked = {"CGO_LDFLAGS": linked, "GOPROXY": "off", "GOTOOLCHAIN": "local"}
        subprocess.run(
            ["go", "build", "-o", program, "."],
            cwd=HERE / "go",
            env=environment | linked,
            check=True,
        )
        commands["go"] = [program]
    if shutil.which("javac"):
        classes = build / "java/languages"
        sources = [
            *(ROOT / "bindings/java/src/main/java/dev").rglob("*.java"),
            HERE / "Client.java",
        ]
        subprocess.run(["javac", "-nowarn", "--release", "22", "-d", classes, *sources], check=True)
        library = f"-Dsidecall.library={build}/lib/libsidecall.so"
        access = "--enable-native-access=ALL-UNNAMED"
        commands["java"] = ["java", access, library, "-cp", str(classes), "Client"]
    if shutil.which("node"):
        commands["node"] = ["node", str(HERE / "client.js")]
    return commands


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def working_cargo() -> str | None:
    """The path of cargo. rustup's program is there before it has a toolchain, and then fails."""
    for path in filter(None, [shutil.which("cargo"), "/usr/bin/cargo"]):
        if (
            Path(path).exists()
            and not subprocess.run([path, "--version"], capture_output=True, check=False).returncode
        ):
            return path
    return None


class Answers:
    """The probabilities that every client must give."""

    def __init__(self, rows: np.ndarray):
        with sidecall.open(MODEL, engine="native") as model:
            outputs = model.run({"X": rows.astype(np.float32)})
        self.expected = outputs["probabilities"][:, 1].astype(np.float64)

    def check(self, what: str, first: int, got: np.ndarray) -> None:
        wanted = self.expected[(first + np.arange(len(got))) % ROWS]
        if not np.array_equal(got, wanted):
            wrong = int((got != wanted).sum())
            raise WrongAnswerError(f"{what}: {wrong} of {len(got)} answers differ")


def measure_calls(languages: list[Language], answers: Answers, rounds: int, blocks: int) -> None:
    first = 0
    for number in range(rounds):
        for kind in KINDS:
            for language in languages if number % 2 == 0 else reversed(languages):
                language.client.ask(kind, first, 4)  # fills the caches again
                times, got = language.client.ask(kind, first, blocks)
                answers.check(f"{language.name}, {kind}", first, got)
                per_call = times / BLOCK
                language.medians.setdefault(kind, []).append(float(np.median(per_call)))
                language.times.setdefault(kind, []).append(per_call)
        first = (first + blocks * BLOCK) % ROWS


@contextmanager
def serve(build: Path, folder: Path) -> Iterator[str]:
    """The address of a native server of the model."""
    uri = f"shm:{folder}/gbm.sock"
    server = subprocess.Popen(
        [build / "bin/sidecall", "serve", MODEL, "--at", uri, "--log-level=error"]
    )
    try:
        command = [build / "bin/sidecall", "status", uri, "--ready", "--wait", "30"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield uri
    finally:
        server.terminate()
        server.wait(timeout=60)


def measure_served(
    languages: list[Language], answers: Answers, uri: str, rounds: int, runs: int
) -> None:
    for number in range(rounds):
        for language in languages if number % 2 == 0 else reversed(languages):
            times, got = language.client.ask("served", uri, runs, FLIGHT)
            answers.check(f"{language.name}, served", 0, got)
            language.runs = runs
            language.medians.setdefault("served", []).append(float(times[0]) / runs)
            language.times.setdefault("served", []).append(times / runs)
        time.sleep(0.01)


def extra_ns(language: Language, c: Language, kind: str) -> float:
    """The median over rounds of the difference within a round."""
    pairs = zip(language.medians[kind], c.medians[kind], strict=True)
    return statistics.median(ours - base for ours, base in pairs)


def ratio(language: Language, c: Language, kind: str) -> float:
    """The median over rounds of the ratio within a round."""
    pairs = zip(language.medians[kind], c.medians[kind], strict=True)
    return statistics.median(ours / base for ours, base in pairs)


LIMITS = {
    "extra_ns": {"rust": 10, "go": 120, "java": 60},
    "record_vs_c": {"rust": 1.5, "go": 1.5, "java": 1.5},
    "async_vs_c": {"go": 0.6, "java": 0.4, "node": 0.25},
}


def add_bars(report: Report, languages: list[Language]) -> None:
    c = languages[0]
    for language in languages[1:]:
        values = {
            "extra_ns": extra_ns(language, c, "call"),
            "record_vs_c": ratio(language, c, "record"),
            "async_vs_c": 1 / ratio(language, c, "served"),
        }
        for name, value in values.items():
            limit = LIMITS[name].get(language.name)
            if limit is not None:
                is_throughput = name == "async_vs_c"
                report.bars.append(Bar(f"{language.name}_{name}", value, limit, is_throughput))


def add_rows(report: Report, languages: list[Language]) -> None:
    for kind in (*KINDS, "served"):
        for language in languages:
            times = np.concatenate(language.times[kind]) / 1000
            report.rows.append(
                {
                    "scenario": kind,
                    "rows": 1,
                    "approach": "sidecall",
                    "client": language.name,
                    "p50_us": float(np.percentile(times, 50)),
                    "p99_us": float(np.percentile(times, 99)),
                    "calls": len(times) * (BLOCK if kind in KINDS else language.runs),
                    "rounds": len(language.medians[kind]),
                }
            )


def print_rows(report: Report) -> None:
    head = ["call", "client", "p50 us", "p99 us"]
    print_table(
        head,
        [
            [row["scenario"], row["client"], f"{row['p50_us']:.3f}", f"{row['p99_us']:.3f}"]
            for row in report.rows
        ],
    )


def main() -> int:
    arguments = parse(__doc__.splitlines()[0], "languages")
    rounds, blocks, runs = (2, 4, 500) if arguments.quick else (60, 64, 100_000)
    os.environ["SIDECALL_ENGINE"] = "native"  # of the clients and the server, too
    commands = build_clients(arguments.build.resolve())
    report = Report("languages", describe_versions(["sidecall", "numpy"]))
    report.notes += [
        "call: a row is written into the memory of a call, which runs and is read there",
        "record: a record with 30 fields, given to a predictor of its type",
        f"served: records that a native server predicts, {FLIGHT} of them under way at once; the "
        "time of all runs, divided by their number",
        "times of call and record are those of blocks of 64 calls, divided by 64",
    ]
    for name in ("rust", "go", "java", "node"):
        if name not in commands:
            report.notes.append(f"{name}: not measured, because it is not installed")
    rows = draw_rows(load_breast_cancer().data, ROWS)
    answers = Answers(rows)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows.astype(np.float64).tofile(folder / "rows")
        library = arguments.build.resolve() / "lib"
        environment = {
            "LD_LIBRARY_PATH": str(library),
            "SIDECALL_NODE_ADDON": str(library / "sidecall.node"),
        }
        languages = [
            Language(
                name,
                stack.enter_context(
                    Client(name, [*command, str(MODEL), str(folder / "rows")], environment)
                ),
            )
            for name, command in commands.items()
        ]
        measure_calls(languages, answers, rounds, blocks)
        uri = stack.enter_context(serve(arguments.build, folder))
        measure_served(languages, answers, uri, max(rounds // 3, 2), runs)
        allocations = {
            language.name: language.client.ask("allocations")[1].tolist()
            for language in languages
            if language.name in ("go", "java")
        }
    add_rows(report, languages)
    add_bars(report, languages)
    # The first number is that of a call, the second that of a record.
    if "go" in allocations:
        report.bars.append(Bar("go_allocs", max(allocations["go"]), 0))
    if "java" in allocations:
        report.bars.append(Bar("java_alloc_bytes", allocations["java"][0], 0))
        report.notes.append(f"java: a record allocates {allocations['java'][1]:.0f} bytes")
    print_rows(report)
    report.print_bars()
    if not arguments.quick or arguments.output:
        report.write(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
