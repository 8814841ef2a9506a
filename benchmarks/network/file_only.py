"""`make bench-file-only`: measures what the network route costs a program that opens only files.

A small C program opens a file, runs it once and ends. It runs in turn with libsidecall as it is and
with the same library without the network route, which is linked from the same objects. The results
go to network.json, beside those of run.py.

python benchmarks/network/file_only.py --build build
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import RESULTS, Bar, WrongAnswerError, guarded, make_parser, print_table
from workload import all_workloads

from serving import write_section

PAIRS = 1000
WORKLOAD = "gbm"
MAPPED = re.compile(r"^\S+ \S+ \S+ \S+ \S+ +(/.*)$", re.MULTILINE)


class Program:
    """The program with one of the two libraries."""

    def __init__(self, program: Path, model: Path, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.words = [str(program), str(model)]
        self.model = str(model)
        # The native engine loads no other library, so nothing hides a difference.
        self.environment = os.environ | {
            "LD_LIBRARY_PATH": str(folder),
            "SIDECALL_ENGINE": "native",
        }
        self.seconds: list[float] = []
        self.private_kib: list[float] = []
        self.resident_kib: list[float] = []
        self.mapped: set[str] = set()

    def start(self) -> None:
        """Runs the program from its start to its end."""
        begun = time.perf_counter()
        subprocess.run(self.words, env=self.environment, check=True)
        self.seconds.append(time.perf_counter() - begun)

    def look(self) -> None:
        """Reads the memory of the program and the files that it has mapped."""
        done = subprocess.run(
            [*self.words, "report"],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )

        def kib(name: str) -> float:
            return float(re.search(rf"^{name}: +(\d+) kB$", done.stdout, re.MULTILINE)[1])

        # Private_Dirty contains the anonymous memory and the pages of files that were changed.
        self.private_kib.append(kib("Private_Dirty"))
        self.resident_kib.append(kib("Rss"))
        self.mapped = set(MAPPED.findall(done.stdout)) - {self.words[0], self.model}
        ours = [path for path in self.mapped if "libsidecall" in path]
        if [Path(path).parent for path in ours] != [self.folder]:
            raise WrongAnswerError(f"expected libsidecall of {self.folder}, got {ours}")

    def row(self) -> dict:
        return {
            "library": self.name,
            "start_us": median(self.seconds) * 1e6,
            "private_kib": median(self.private_kib),
            "resident_kib": median(self.resident_kib),
            "mapped": len(self.mapped),
        }


def bars_of(ours: Program, other: Program) -> list[Bar]:
    """Differences and ratios are taken within a pair."""
    pairs = zip(ours.private_kib, other.private_kib, strict=True)
    times = zip(ours.seconds, other.seconds, strict=True)
    return [
        Bar("file_only_extra_libraries", float(len(ours.mapped) - len(other.mapped)), 0),
        Bar("file_only_extra_kib", median(one - before for one, before in pairs), 64),
        Bar("file_only_start_vs_before", median(one / before for one, before in times), 1.02),
    ]


def parse() -> argparse.Namespace:
    parser = make_parser(
        "Measures what the network route costs a program that opens only files.",
        "network",
        "the CMake build folder",
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="FOLDER",
        help="folder of another libsidecall to compare with, such as that of an older commit",
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    build = arguments.build.resolve()
    before = (arguments.before or build / "lib/without-network").resolve()
    with tempfile.TemporaryDirectory(prefix="sidecall-file-only-") as folder:
        workload = next(one for one in all_workloads() if one.name == WORKLOAD)
        model = workload.write(Path(folder)) / "model.onnx"
        program = build / "bin/bench-file-only"
        ours = Program(program, model, "as it is", build / "lib")
        name = "without the network route" if arguments.before is None else "before"
        other = Program(program, model, name, before)
        for number in range(10 if arguments.quick else PAIRS):
            pair = (ours, other) if number % 2 == 0 else (other, ours)
            for one in pair:
                one.start()
            for one in pair:
                one.look()
    rows, bars = [ours.row(), other.row()], bars_of(ours, other)
    print_table(
        ["libsidecall", "start us", "private KiB", "resident KiB", "libraries"],
        [
            [
                row["library"],
                *(f"{row[key]:.0f}" for key in ("start_us", "private_kib", "resident_kib")),
                str(row["mapped"]),
            ]
            for row in rows
        ],
    )
    for bar in bars:
        print(f"{bar.name:<26} {bar.value:8.3f} {bar.limit:8.3f} {bar.holds}")
    if arguments.before is None and (not arguments.quick or arguments.output):
        write_section("file_only", rows, bars, arguments.output or RESULTS / "network.json")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
