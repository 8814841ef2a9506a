"""`make fuzz` and `make fuzz-long`: builds the targets of tests/fuzz with clang, and runs each.

With --quick (`make fuzz`) each target runs for a minute. Without it (`make fuzz-long`) each target
runs for five million inputs, or one million where an input is a whole model file. Both add inputs
that reach new edges of the code to the archives in tests/fuzz/corpus; the long campaign also writes
the table and the bars to benchmarks/results/reliability.json. With names of targets only these run,
and the table keeps the rows of the others. Inputs that cause a failure stay in BUILD/fuzz/found.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import corpus
from common import RESULTS, Bar, Report, describe_versions, make_parser

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The maximum length of an input of each target, in bytes. The targets that take longest come first.
TARGETS = {
    "answer": 4096,
    "signature": 2048,
    "manifest": 4096,
    "contract": 4096,
    "records": 2048,
    "request": 8192,
    "npy": 2048,
    "net_message": 2048,
    "net_server": 2048,
    "native": 8192,
    "model": 4096,
    "onnx_file": 4096,
    "csv": 1024,
    "hello": 256,
}
WHOLE_FILES = {"model", "native", "onnx_file"}
OTHERS = set(TARGETS) - WHOLE_FILES
EXECUTIONS, EXECUTIONS_OF_WHOLE_FILES, QUICK_SECONDS = 5_000_000, 1_000_000, 60
# Exceptions and allocations are frequent, and are faster without the first part of AddressSanitizer
# and with short stacks of allocations; run an input that fails again to see them whole. A model may
# ask for any amount of memory; large allocations fail here.
SANITIZER = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=0:malloc_context_size=2"
    ":allocator_may_return_null=1:max_allocation_size_mb=256"
}


class Campaign:
    """Builds and runs targets. Without `results` each runs for a minute, and no row is kept."""

    def __init__(self, build: Path, results: Results | None) -> None:
        self.folder, self.log, self.results = build / "fuzz", build / "log", results
        self.jobs = len(os.sched_getaffinity(0))

    def build(self) -> None:
        clang = shutil.which("clang++-19") or shutil.which("clang++")
        if clang is None:
            sys.exit("missing: install what Debian calls clang-19 and libclang-rt-19-dev")
        self.quietly(
            *("configure-fuzz", f"configuring the fuzz targets with {clang}"),
            *("cmake", "-S", ROOT, "-B", self.folder, "-G", "Ninja"),
            *(f"-DCMAKE_CXX_COMPILER={clang}", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"),
            *("-DSIDECALL_BUILD_TESTS=ON", "-DSIDECALL_BUILD_FUZZERS=ON"),
            "-DSIDECALL_BUILD_NET=ON",
            f"-DSIDECALL_NET_LIBRARIES={(self.folder.parent / 'net-libraries').resolve()}",
        )
        programs = [f"fuzz-{target}" for target in TARGETS]
        self.quietly(
            *("build-fuzz", "building the fuzz targets", "cmake", "--build", self.folder),
            *("-j", str(self.jobs), "--target", *programs),
        )
        (self.folder / "found").mkdir(exist_ok=True)

    def quietly(self, *command: str | Path) -> None:
        subprocess.run([ROOT / "tools/quietly.sh", self.log, *command], check=True)

    def fuzz(self, target: str) -> dict:
        """Runs one target and returns its row of the table."""
        new, kept = self.folder / "new" / target, self.folder / "kept" / target
        corpus.unpack(target, kept)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        wanted = EXECUTIONS_OF_WHOLE_FILES if target in WHOLE_FILES else EXECUTIONS
        words = HERE / f"{target}.dict"
        begin = time.monotonic()
        code, text = self.run(
            target,
            *(new, kept, f"-artifact_prefix={self.folder}/found/{target}-"),
            *("-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"),
            f"-max_total_time={QUICK_SECONDS}" if self.results is None else f"-runs={wanted}",
            *([f"-dict={words}"] if words.exists() else []),
        )
        row = {"target": target, **figures(text), "seconds": round(time.monotonic() - begin)}
        row["defects"] = int(code != 0)
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        if code != 0:
            print("\n".join(text.splitlines()[-40:]), flush=True)
        else:
            self.merge(target, kept, new)
        if self.results is not None:
            self.results.add(row)
        return row

    def merge(self, target: str, kept: Path, new: Path) -> None:
        """Adds a small set of inputs that together reach all new edges to the corpus. With
        -use_counters=0 it does not matter how often an input reaches an edge."""
        self.run(target, kept, new, "-set_cover_merge=1", "-use_counters=0")
        for path in kept.iterdir():
            if not path.suffix:
                path.rename(path.with_name(f"{path.name[:16]}.bin"))
        corpus.pack(target, kept)

    def run(self, target: str, *options: str | Path) -> tuple[int, str]:
        program = self.folder / f"bin/fuzz-{target}"
        log = self.log / f"fuzz-{target}.log"
        with log.open("w", encoding="utf-8") as file:
            done = subprocess.run(
                [program, *options, f"-max_len={TARGETS[target]}"],
                env=SANITIZER | os.environ,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return done.returncode, log.read_text(encoding="utf-8", errors="replace")


def figures(text: str) -> dict:
    """The figures in the output of libFuzzer, which prints a line for each input that it keeps."""
    lines = re.findall(r"^#(\d+)\t.* cov: (\d+)", text, flags=re.MULTILINE)
    steps = [(int(executions), int(edges)) for executions, edges in lines]
    total, edges = steps[-1] if steps else (0, 0)
    earlier = [reached for executions, reached in steps if 3 * executions <= 2 * total]
    before = earlier[-1] if earlier else 0
    return {
        "executions": total,
        "edges": edges,
        "edges_at_two_thirds": before,
        "new_edges": edges - before,
    }


class Results:
    """The table and the bars in the results file, with the rows of earlier campaigns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.by_target = {row["target"]: row for row in document.get("fuzz", [])}
        self.lock = threading.Lock()

    def add(self, row: dict) -> None:
        """Writes the file, so that the row is kept if the campaign is interrupted."""
        with self.lock:
            self.by_target[row["target"]] = row
            self.report().write(self.path, keep_others=True)

    def report(self) -> Report:
        report = Report("reliability", describe_versions(["numpy", "onnxruntime"]))
        rows = [self.by_target[name] for name in TARGETS if name in self.by_target]
        report.tables["fuzz"] = rows
        whole = self.fewest_executions(WHOLE_FILES)
        report.bars = [
            Bar("fuzz_executions_each", self.fewest_executions(OTHERS), EXECUTIONS, at_least=True),
            Bar("fuzz_executions_whole_files", whole, EXECUTIONS_OF_WHOLE_FILES, at_least=True),
            Bar("fuzz_new_edges_last_third", sum(row["new_edges"] for row in rows), 0),
            Bar("fuzz_defects", sum(row["defects"] for row in rows), 0),
        ]
        return report

    def fewest_executions(self, targets: set[str]) -> int:
        return min(self.by_target.get(name, {}).get("executions", 0) for name in targets)


def main() -> int:
    parser = make_parser(__doc__.splitlines()[0], "reliability", "the CMake build folder")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: every target")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"TARGET: expected {', '.join(TARGETS)}, got {', '.join(sorted(unknown))}")
    results = None if options.quick else Results(options.output or RESULTS / "reliability.json")
    campaign = Campaign(options.build.resolve(), results)
    campaign.build()
    targets = [name for name in TARGETS if name in options.targets or not options.targets]
    with ThreadPoolExecutor(max_workers=campaign.jobs) as pool:
        rows = list(pool.map(campaign.fuzz, targets))
    if results is None:
        return 1 if any(row["defects"] for row in rows) else 0
    report = results.report()
    report.print_bars()
    return 0 if all(bar.holds for bar in report.bars) else 1


if __name__ == "__main__":
    sys.exit(main())
