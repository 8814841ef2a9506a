"""`make demo`: exports two models and compares the answers of five languages.

The languages are Python, C, C++, Node.js and the shell; `make demo-all` adds Go, Rust and Java, and
asks a server over shared memory, HTTP and gRPC too. The models are trained on real data, and run on
both engines: on the native engine, which is sidecall's own, and on ONNX Runtime.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sidecall
from palmerpenguins import load_penguins
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# Each language is timed in rounds. They are short, so that some are not interrupted. The fastest
# round counts.
ROUNDS, CALLS = 25, 500
ENGINES = ["native", "onnxruntime"]
ROUTES = ["shm", "http", "grpc"]


@dataclass
class Answer:
    label: object
    probabilities: list[float]

    def __str__(self) -> str:
        return f"{self.label}, {max(self.probabilities):.6f}"


@dataclass
class Asked:
    """The answers that one way of calling gave, and the time that a call took."""

    way: str
    answers: list[Answer]
    microseconds: float


def train_penguins() -> tuple[ClassifierMixin, pd.DataFrame, pd.DataFrame, list[str]]:
    data = load_penguins().dropna(subset=["species"])
    features, species = data.drop(columns="species"), data["species"]
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encode = make_column_transformer(
        (words, ["island", "sex"]),
        (numbers, ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]),
    )
    pipeline = make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(features, species)
    asked = features.iloc[[0, 271, 280]].copy()
    asked.iloc[2, asked.columns.get_loc("island")] = "Elba"
    return (
        pipeline,
        features,
        asked,
        ["a bird of the data", "all but island, year missing", "an island never seen"],
    )


def train_cancer() -> tuple[ClassifierMixin, pd.DataFrame, pd.DataFrame, list[str]]:
    data = load_breast_cancer(as_frame=True)
    features = data.data.astype(np.float32)
    model = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(
        features, data.target_names[data.target]
    )
    return model, features, features.iloc[[0, 40, 541]], ["row 0", "row 40", "row 541"]


def records_of(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as records that every language can hold: a missing value has no key."""
    return [
        {name: value for name, value in row.items() if not pd.isna(value)}
        for row in rows.to_dict("records")
    ]


def best_time(call: Callable[[int], object], calls: int, rounds: int = ROUNDS) -> float:
    """Microseconds per call in the fastest round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for i in range(calls):
            call(i)
        times.append(time.perf_counter() - start)
    return min(times) / calls * 1e6


def answers_of(records: list[dict[str, Any]]) -> list[Answer]:
    return [Answer(record["label"], list(record["probabilities"].values())) for record in records]


def ask_scikit_learn(model: ClassifierMixin, rows: pd.DataFrame) -> Asked:
    singles = [rows.iloc[[i]] for i in range(len(rows))]
    answers = [
        Answer(model.predict(row)[0], model.predict_proba(row)[0].tolist()) for row in singles
    ]
    return Asked(
        "scikit-learn", answers, best_time(lambda i: model.predict_proba(singles[i % len(rows)]), 3)
    )


def ask_python(uri: str, engine: str, records: list[dict[str, Any]]) -> Asked:
    model = sidecall.open(uri, engine=engine)
    answers = answers_of([model.predict(record) for record in records])
    return Asked(
        "Python", answers, best_time(lambda i: model.predict(records[i % len(records)]), CALLS)
    )


class Programs:
    """Runs the programs in other languages with one engine.

    If that is ONNX Runtime, they use the library of this Python.
    """

    def __init__(self, build: Path, folder: Path, engine: str):
        self.bin, self.folder = build / "bin", folder
        spec = importlib.util.find_spec("onnxruntime")
        library = next(Path(spec.origin).parent.glob("capi/libonnxruntime.so.*"))
        addon = build / "lib" / "sidecall.node"
        self.environment = os.environ | {
            "SIDECALL_ONNXRUNTIME": str(library),
            "SIDECALL_NODE_ADDON": str(addon),
            "SIDECALL_ENGINE": engine,
        }

    def run(self, program: Path | str, *words: object, text: str | None = None) -> list[str]:
        """Runs a program of the build or one found in PATH, and returns the lines of its output."""
        command = [str(program), *map(str, words)]
        done = subprocess.run(
            command, input=text, env=self.environment, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            sys.exit(f"{command[0]}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    @contextmanager
    def serve(self, file: Path) -> Iterator[dict[str, str]]:
        """Serves a file on this host, and yields the address of the model on each route."""
        shm = f"shm:{self.folder.resolve()}/demo.sock"
        command = [self.bin / "sidecall", "serve", file, "--name", "demo", "--json-log"]
        at = ["--at", shm, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        with subprocess.Popen(
            [*command, *at], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as server:
            addresses = {"shm": shm}
            said = b""
            for line in server.stderr:
                said += line
                event = json.loads(line) if line.startswith(b"{") else {"event": "message"}
                if event["event"] == "server.listening" and "at" in event:
                    addresses[event["at"].split(":")[0]] = f"{event['at']}/demo"
                if event["event"] == "serve.ready":
                    break
            else:
                sys.exit(f"sidecall serve {file}: {said.decode().strip()}")
            try:
                yield {route: addresses[route] for route in ROUTES}
            finally:
                server.terminate()

    def ask_c(self, uri: str, names: list[str], records: list[dict[str, Any]]) -> Asked:
        table = self.folder / "records.tsv"
        lines = ["\t".join(names)] + [
            "\t".join(str(record.get(name, "")) for name in names) for record in records
        ]
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        *lines, microseconds = self.run(self.bin / "demo-c", uri, table, CALLS)
        cells = [line.split("\t") for line in lines]
        return Asked(
            "C",
            [Answer(label, [float(cell) for cell in rest]) for label, *rest in cells],
            float(microseconds),
        )

    def ask_cpp(self, uri: str, text: str) -> Asked:
        return self._ask_json("C++", self.bin / "demo-cpp", uri, text=text)

    def ask_node(self, uri: str, text: str) -> Asked:
        return self._ask_json("Node.js", "node", Path(__file__).with_name("ask.js"), uri, text=text)

    def _ask_json(self, way: str, *command: Path | str, text: str) -> Asked:
        """Runs a program that takes a model, a file of records and the number of calls to time."""
        lines = self.folder / "records.jsonl"
        lines.write_text(text, encoding="utf-8")
        *answers, microseconds = self.run(*command, lines, CALLS)
        return Asked(way, answers_of([json.loads(line) for line in answers]), float(microseconds))

    def ask_go(self, uri: str, text: str) -> Asked:
        return self._ask_json("Go", self.bin.parent / "go/ask-go", uri, text=text)

    def ask_rust(self, uri: str, text: str) -> Asked:
        return self._ask_json("Rust", self.bin.parent / "rust/release/ask-rust", uri, text=text)

    def ask_java(self, uri: str, text: str) -> Asked:
        build = self.bin.parent
        library = f"-Dsidecall.library={build}/lib/libsidecall.so"
        command = ["java", "--enable-native-access=ALL-UNNAMED", library]
        return self._ask_json("Java", *command, "-cp", build / "java/ask", "Ask", uri, text=text)

    def ask_shell(self, uri: str, text: str) -> Asked:
        answers = self.run(self.bin / "sidecall", "predict", uri, text=text)
        return Asked(
            "shell",
            answers_of([json.loads(line) for line in answers]),
            best_time(lambda _: self.run(self.bin / "sidecall", "predict", uri, text=text), 1, 9),
        )


def ask_onnxruntime(path: Path, frame: pd.DataFrame) -> list[Answer]:
    """Runs the file with ONNX Runtime, without sidecall.

    The file is an ordinary ONNX model. Running it needs no part of sidecall, only the knowledge of
    how the model encodes missing values.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    types = {
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(int64)": np.int64,
        "tensor(string)": object,
    }
    given = {}
    for spec in session.get_inputs():
        column = frame if spec.name == "X" else frame[[spec.name]]
        column = column.fillna("\ufdd0") if spec.type == "tensor(string)" else column
        given[spec.name] = column.to_numpy().astype(types[spec.type])
    labels, probabilities = session.run(["label", "probabilities"], given)
    return [Answer(label, row.tolist()) for label, row in zip(labels, probabilities, strict=True)]


def largest_difference(asked: list[list[Answer]]) -> float:
    """The largest difference between the first list and the others; infinite if a label differs."""
    first, *others = asked
    largest = 0.0
    for answers in others:
        for wanted, got in zip(first, answers, strict=True):
            if wanted.label != got.label:
                return math.inf
            largest = max(
                largest,
                *(abs(a - b) for a, b in zip(wanted.probabilities, got.probabilities, strict=True)),
            )
    return largest


def print_table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def print_report(report: object, with_features: bool) -> None:
    """Prints the report of the export, without its list of features unless `with_features`."""
    parts = str(report).split("\n\n")
    print(
        "\n\n".join(
            part
            for part in parts
            if not part.startswith("made with")
            and (with_features or not part.startswith("feature "))
        )
    )


def ask_all(
    uri: str,
    engine: str,
    programs: Programs,
    names: list[str],
    records: list[dict[str, Any]],
    with_all: bool,
) -> list[Asked]:
    """Asks in every language."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    more = [programs.ask_go, programs.ask_rust, programs.ask_java] if with_all else []
    return [
        ask_python(uri, engine, records),
        programs.ask_c(uri, names, records),
        programs.ask_cpp(uri, text),
        programs.ask_node(uri, text),
        *(ask(uri, text) for ask in more),
        programs.ask_shell(uri, text),
    ]


def ask_server(
    file: Path, programs: Programs, names: list[str], records: list[dict[str, Any]]
) -> dict[str, list[Asked]]:
    """Asks a server of the file in every language, over every route."""
    with programs.serve(file) as addresses:
        return {
            route: ask_all(uri, "auto", programs, names, records, True)
            for route, uri in addresses.items()
        }


def time_text(microseconds: float) -> str:
    return f"{microseconds:.1f} us" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def show(title: str, file: Path, trained: tuple, build: Path, with_all: bool) -> bool:
    model, features, rows, names = trained
    print(f"{title}\n")
    print_report(
        sidecall.export(model, file, features, progress=False),
        with_features=len(features.columns) < 10,
    )
    original = ask_scikit_learn(model, rows)
    columns, records = list(features.columns), records_of(rows)
    by_engine = {
        engine: ask_all(
            str(file),
            engine,
            Programs(build, file.parent, engine),
            columns,
            records,
            with_all,
        )
        for engine in ENGINES
    }
    served = Programs(build, file.parent, "auto")
    by_route = ask_server(file, served, columns, records) if with_all else {}
    asked = [way for ways in [*by_engine.values(), *by_route.values()] for way in ways]
    print()
    ways = [original, *by_engine["native"]]
    lines = [[name, *(str(way.answers[i]) for way in ways)] for i, name in enumerate(names)]
    lines.append(
        ["time of scikit-learn", time_text(original.microseconds)] + [""] * (len(ways) - 1)
    )
    timed = {f"time on {engine}": ways for engine, ways in by_engine.items()}
    timed |= {f"time over {route}": ways for route, ways in by_route.items()}
    for name, answered in timed.items():
        lines.append([name, "", *(time_text(way.microseconds) for way in answered)])
    print_table(["", *(way.way for way in ways)], lines)
    chosen = sidecall.open(file)
    print(f"sidecall opens this file with {chosen.engine}: {chosen.engine_reason}")
    difference = largest_difference(
        [way.answers for way in [original, *asked]] + [ask_onnxruntime(file, rows)]
    )
    agree = difference <= 1e-5
    print(
        f"{'All agree' if agree else 'THEY DIFFER'}, on both engines"
        f"{' and over ' + ', '.join(by_route) if by_route else ''}, and so does plain "
        f"onnxruntime with the file: largest difference {difference:.1e}\n"
    )
    return agree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="CMake's build folder")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also ask in Go, Rust and Java, whose programs were built, and a server",
    )
    options = parser.parse_args()
    build = options.build.resolve()
    if options.all:
        os.environ.setdefault("SIDECALL_NET", str(build / "lib/libsidecall-net.so"))
    folder = options.build / "demo"
    folder.mkdir(exist_ok=True)
    agree = [
        show(
            "Penguins: imputers, one-hot encoder, scaler, logistic regression; strings and missing "
            "values",
            folder / "penguins.onnx",
            train_penguins(),
            build,
            options.all,
        ),
        show(
            "Breast cancer: gradient boosting, 100 trees, 30 numbers",
            folder / "cancer.onnx",
            train_cancer(),
            build,
            options.all,
        ),
    ]
    fill, send = (
        ("Python, Node.js, Go and C", "C++, Rust and Java send")
        if options.all
        else ("Python, Node.js and C", "C++ sends")
    )
    print(
        f"Shell: one process per call. {fill} fill a record, {send} JSON; the programs are in "
        "examples/demo. Now try:"
    )
    print(
        f"""  echo '{{"island": "Biscoe", "bill_length_mm": 48.2}}' | """
        f"{options.build}/bin/sidecall predict {folder}/penguins.onnx"
    )
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
