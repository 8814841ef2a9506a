"""`make bench`: measures every route to the same model, its rivals and the network approaches.

Writes results/network.json, from which `make report` makes the report.

python benchmarks/network/run.py --build build            everything
python benchmarks/network/run.py --build build --quick    under five minutes
python benchmarks/network/run.py --build build --only grpc-cpp-unix --workload gbm \\
    --client native
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bars
import decompose
from approach import CLIENTS, Approach, all_approaches, at_of, named
from client_process import ClientError, ClientProcess, command_of
from collect import Collection
from common import (
    RESULTS,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    print_table,
    run_on_onnxruntime,
)
from host import Host, UnavailableError, visit
from plan import FULL, GLANCE, QUICK, WORKERS, Cell, Effort, cells_of
from versions import PACKAGES, programs
from workload import Workload, all_workloads

from serving import keep_sections

HERE = Path(__file__).resolve().parent


class Progress:
    """Shows what is being measured and the time left.

    On a terminal it is one line that is rewritten, elsewhere one line per visit.
    """

    def __init__(self, visits: int):
        self._visits, self._done, self._begin = visits, 0, time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def show(self, text: str, is_new: bool = False) -> None:
        line = f"[{self._done + 1}/{self._visits}{self._left()}] {text}"
        if self._is_terminal:
            print(
                f"\r\x1b[2K{line[: shutil.get_terminal_size().columns - 1]}",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif is_new:
            print(line, file=sys.stderr, flush=True)

    def done(self) -> None:
        self._done += 1
        if self._is_terminal and self._done == self._visits:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)

    def _left(self) -> str:
        if self._done == 0:
            return ""
        left = (time.monotonic() - self._begin) / self._done * (self._visits - self._done)
        return f", {int(left // 60)}:{int(left % 60):02d} left"


@dataclass
class Run:
    """One run: what it measures, and the results so far."""

    approaches: list[Approach]
    workloads: list[Workload]
    clients: tuple[str, ...]
    effort: Effort
    build: Path
    folder: Path
    onnxruntime: Path
    progress: Progress
    collection: Collection = field(default_factory=Collection)

    def visit_all(self) -> None:
        """Visits all approaches; the order is reversed with every repetition."""
        for repetition in range(self.effort.repetitions):
            for approach in self.approaches if repetition % 2 == 0 else reversed(self.approaches):
                if not self.collection.is_left_out(approach.name):
                    self._visit(approach, repetition)
                self.progress.done()

    def _visit(self, approach: Approach, repetition: int) -> None:
        """Runs one approach from the start of its servers to their end; no other approach runs
        meanwhile.
        """
        folder = self.folder / f"{approach.name}-{repetition}"
        folder.mkdir()
        self.progress.show(f"{approach.name}: starting", is_new=True)
        with visit(
            build=self.build,
            folder=folder,
            workloads=self.folder / "workloads",
            onnxruntime=self.onnxruntime,
        ) as host:
            begin = time.monotonic()
            try:
                at = approach.start(host)
            except (UnavailableError, RuntimeError) as reason:
                self.collection.unavailable[approach.name] = str(reason)[-500:]
                return
            start_s = time.monotonic() - begin
            for client in approach.clients:
                if client not in self.clients:
                    continue
                try:
                    with ClientProcess(client, host, approach.client_environment) as process:
                        self._measure(approach, client, process, host, at, repetition, start_s)
                except (WrongAnswerError, ClientError) as error:
                    self.collection.fail(approach, f"{approach.name}, {client}: {error}")
                    return

    def _measure(
        self,
        approach: Approach,
        client: str,
        process: ClientProcess,
        host: Host,
        at: dict,
        repetition: int,
        start_s: float,
    ) -> None:
        is_first = True
        for (name, rows), cells in cells_of(approach, client, self.workloads, self.effort).items():
            workload = next(one for one in self.workloads if one.name == name)
            folder = self.folder / "workloads" / name
            body = approach.body_of(workload.kind)
            opened = process.ask(
                do="open",
                workload=str(folder),
                rows=rows,
                transport=approach.transport,
                body=body,
                at=at_of(at, name),
            )
            if is_first:
                self.collection.cold.setdefault((approach.name, client), []).append(
                    start_s + opened["first_answer_s"]
                )
                is_first = False
            if approach.warm_up:
                process.ask(
                    do="closed",
                    clients=1,
                    seconds=self.effort.seconds,
                    warm_up=approach.warm_up,
                    first=0,
                )
            for cell in cells:
                self.progress.show(f"{approach.name}, {client}: {cell.scenario}")
                measured = self._ask(
                    process, host, cell, repetition, f"{approach.name}-{client}-{cell.scenario}"
                )
                memory = (host.cost()[1], process.memory_mib())
                self.collection.add(approach, client, cell, repetition, measured, memory)
            process.ask(do="close")

    def _ask(
        self, process: ClientProcess, host: Host, cell: Cell, repetition: int, name: str
    ) -> dict:
        first = 131 * repetition
        cpu_before = host.cost()[0]
        if cell.rate:
            warm_up = min(self.effort.warm_up, 2)
            answer = process.ask(
                do="open_loop",
                clients=cell.clients,
                rate=cell.rate,
                seconds=self.effort.open_seconds,
                warm_up=warm_up,
                first=first,
            )
        else:
            warm_up = self.effort.warm_up if cell.clients == 1 and cell.rows < 1000 else 2
            request = {
                "clients": cell.clients,
                "seconds": self.effort.seconds,
                "warm_up": warm_up,
                "first": first,
            }
            answer = process.ask(do="closed", **request)
        if answer["calls"] == 0:
            raise WrongAnswerError(f"{name}: no call was answered: {answer['error']}")
        return answer | {
            "server_cpu_s": host.cost()[0] - cpu_before,
            "server_calls": answer["calls"] + warm_up * cell.clients,
        }


def describe(approach: Approach) -> dict:
    keys = (
        "name",
        "title",
        "group",
        "transport",
        "clients",
        "engine",
        "crossings",
        "without",
        "note",
    )
    found = {key: getattr(approach, key) for key in keys}
    return found | {"bodies": sorted({approach.body_of(kind) for kind in ("tensor", "record")})}


def print_rows(rows: list[dict]) -> None:
    """Prints the most common case of each workload: one row, closed loop, one client."""
    asked = sorted(
        (row for row in rows if row["load"] == "closed 1" and row["rows"] == 1),
        key=lambda row: (row["workload"], row["p50_us"]),
    )
    for workload in dict.fromkeys(row["workload"] for row in asked):
        print(f"\n{workload}, one row, one client: us")
        table = [
            [
                f"{row['approach']}, {row['client']}",
                *(f"{row[key]:,.1f}" for key in ("p50_us", "p99_us", "cpu_s_per_million")),
            ]
            for row in asked
            if row["workload"] == workload
        ]
        print_table(["approach, client", "p50", "p99", "CPU s per million"], table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--build",
        type=Path,
        default=HERE.parents[1] / "build",
        help="the CMake build folder, in which the benchmarks were built",
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "network.json", help="JSON file to write"
    )
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    parser.add_argument(
        "--glance",
        action="store_true",
        help="one or two calls: checks the answers, does not measure",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="measure only these approaches or groups",
    )
    parser.add_argument(
        "--workload", nargs="+", default=[], metavar="NAME", help="measure only these workloads"
    )
    parser.add_argument(
        "--client",
        nargs="+",
        default=list(CLIENTS),
        choices=CLIENTS,
        help="measure with only these clients",
    )
    parser.add_argument(
        "--repetitions",
        type=int,
        metavar="N",
        help="number of repetitions (default: 5, or 1 with --quick)",
    )
    parser.add_argument(
        "--keep-others",
        action="store_true",
        help="add to the results of earlier runs, which stay for all other approaches",
    )
    parser.add_argument(
        "--list", action="store_true", help="list approaches and workloads, and exit"
    )
    return parser.parse_args()


def main() -> int:
    options = parse()
    note = run_on_onnxruntime()
    approaches, workloads = named(all_approaches(), options.only), all_workloads()
    if options.workload:
        unknown = set(options.workload) - {one.name for one in workloads}
        if unknown:
            raise SystemExit(
                "--workload: expected a name of benchmarks/network/workloads, "
                f"got {', '.join(sorted(unknown))}"
            )
        workloads = [one for one in workloads if one.name in options.workload]
    if options.list:
        print_table(
            ["approach", "group", "clients"],
            [[one.name, one.group, " ".join(one.clients)] for one in approaches],
        )
        print_table(
            ["workload", "rows"], [[one.name, " ".join(map(str, one.rows))] for one in workloads]
        )
        return 0
    effort = GLANCE if options.glance else QUICK if options.quick else FULL
    if options.repetitions:
        effort = Effort(**(vars(effort) | {"repetitions": options.repetitions}))
    try:
        for client in options.client:
            command_of(client, options.build.resolve())
    except ClientError as error:
        raise SystemExit(f"client {client}: {error}") from None
    library = find_in_package("onnxruntime", "capi/libonnxruntime.so.*")
    folder = Path(tempfile.mkdtemp(prefix="sidecall-bench-"))
    begin = time.monotonic()
    try:
        (folder / "workloads").mkdir()
        for workload in workloads:
            print(f"training and exporting {workload.name}", file=sys.stderr)
            workload.write(folder / "workloads")
        visits = len(approaches) * effort.repetitions
        run = Run(
            approaches,
            workloads,
            tuple(options.client),
            effort,
            options.build.resolve(),
            folder,
            library,
            Progress(visits),
        )
        run.visit_all()
        collection = run.collection
        report = Report("network", describe_versions(PACKAGES) | programs())
        report.rows = collection.rows() + collection.cold_rows(approaches)
        report.bars = bars.bars_of(collection)
        report.notes = [*notes_of(effort, time.monotonic() - begin), note]
        document = report.document() | {
            "approaches": [describe(one) for one in approaches],
            "workloads": [{"name": one.name, "title": one.title} for one in workloads],
            "unavailable": collection.unavailable,
            "failed": collection.failed,
            "decomposition": decompose.measure(run.build, folder, library, collection),
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        if options.keep_others and options.output.exists():
            document = keep_others(document, options.output)
        document = keep_sections(document, options.output)
        options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_rows(report.rows)
    for name, reason in collection.unavailable.items():
        print(f"\nnot measured: {name}: {reason}")
    print(f"\nwritten to {options.output}")
    report.print_bars()
    if collection.failed:
        print("\nwrong or lost answers:\n" + "\n".join(collection.failed.values()), file=sys.stderr)
    return 1 if collection.failed else 0


def keep_others(new: dict, path: Path) -> dict:
    """The document in this file, with what a new run measured in place of its own."""
    old = json.loads(path.read_text(encoding="utf-8"))
    if old["failed"]:
        raise SystemExit(f"{path}: expected results without failures, got {sorted(old['failed'])}")
    measured = {one["name"] for one in new["approaches"]}

    def merged(key: str, field: str) -> list[dict]:
        replaced = measured | {each[field] for each in new[key]}
        return [each for each in old[key] if each[field] not in replaced] + new[key]

    found = {key: merged(key, "name") for key in ("approaches", "workloads", "bars")}
    found |= {key: merged(key, "approach") for key in ("rows", "decomposition")}
    others = {name: why for name, why in old["unavailable"].items() if name not in measured}
    found |= {"unavailable": others | new["unavailable"], "failed": new["failed"]}
    note = (
        f"{' and '.join(sorted(measured))}: measured in a separate run, on "
        f"{new['machine']['cpu']}: {' '.join(new['command'])}"
    )
    return (
        old
        | found
        | {"versions": old["versions"] | new["versions"], "notes": [*old["notes"], note]}
    )


def notes_of(effort: Effort, seconds: float) -> list[str]:
    notes = [
        f"{effort.repetitions} repetitions, interleaved: each starts the servers of every approach "
        "again, one after the other; figures are medians over the repetitions",
        f"closed loop of {effort.seconds} s per repetition; open loop at fixed rates with "
        f"{WORKERS} workers, where latency counts from the scheduled start of a call",
        f"the whole run took {seconds / 60:.0f} minutes",
    ]
    if len(os.sched_getaffinity(0)) < 8:
        notes.append(
            "client, server and broker share fewer than eight cores: figures for many clients hold "
            "only for this machine and do not rank the approaches"
        )
    return notes


if __name__ == "__main__":
    sys.exit(guarded(main))
