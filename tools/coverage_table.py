"""coverage_table.py COVERAGE PAGE: writes the table of docs/test-coverage.md.

COVERAGE is the file that `llvm-cov export` writes. The table says which share of the lines and
branches of each folder the tests reached. The program also adds the shares of all folders together
to benchmarks/results/reliability.json, and prints which lines of each file no test reached. `make
coverage` runs it.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from common import Bar, Report, describe_versions

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    *("base", "core", "engines/in_process", "engines/choice", "engines/native"),
    *(
        "engines/oip",
        "engines/onnxruntime",
        "engines/out_of_process",
        "engines/shm",
        "serving",
    ),
    *("net/client", "net/common", "net/server"),
    *("shm/client", "shm/common", "shm/server", "shm/supervisor"),
    *("bindings/c", "command/types", "command", "bindings/node", "python/src"),
)
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->\n"


def files_of(coverage: dict) -> Iterator[tuple[str, dict]]:
    """The files of sidecall, by their path in the source tree."""
    for file in coverage["data"][0]["files"]:
        path = Path(file["filename"])
        if path.is_relative_to(ROOT):
            yield path.relative_to(ROOT).as_posix(), file


def missed_lines(file: dict) -> list[int]:
    """The lines that hold code of a region that no test reached, from its start to its end."""
    missed: list[int] = []
    count, at = 1, 1
    for line, _, times, has_count, _, is_gap in file["segments"]:
        if count == 0:
            missed.extend(range(at, line + 1))
        count, at = (times if has_count and not is_gap else 1), line
    return sorted(set(missed))


def ranges(lines: list[int]) -> str:
    groups: list[list[int]] = []
    for line in lines:
        if groups and line == groups[-1][1] + 1:
            groups[-1][1] = line
        else:
            groups.append([line, line])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in groups)


def main(source: str, page: str) -> None:
    coverage = json.loads(Path(source).read_text())
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, file in files_of(coverage):
        folder = next((each for each in FOLDERS if name.startswith(f"{each}/")), None)
        if folder is None:
            continue
        for total in (folder, "all"):
            for i, kind in enumerate(("lines", "branches")):
                sums[total][2 * i] += file["summary"][kind]["covered"]
                sums[total][2 * i + 1] += file["summary"][kind]["count"]
        if lines := missed_lines(file):
            print(f"{name}: {ranges(lines)}")
    rows = ["| folder | lines | branches |", "|---|---|---|"]
    shares = {}
    for folder in (*FOLDERS, "all"):
        lines, all_lines, branches, all_branches = sums[folder]
        shares[folder] = (100 * lines / max(all_lines, 1), 100 * branches / max(all_branches, 1))
        rows.append(
            f"| `{folder}` | {shares[folder][0]:.1f} % of {all_lines} |"
            f" {shares[folder][1]:.1f} % of {all_branches} |"
        )
    text = Path(page).read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    Path(page).write_text(text[:begin] + "\n".join(rows) + "\n" + text[end:])
    report = Report("reliability", describe_versions(["numpy", "onnxruntime"]))
    report.bars = [
        Bar("coverage_lines", round(shares["all"][0], 2), 95, at_least=True),
        Bar("coverage_branches", round(shares["all"][1], 2), 85, at_least=True),
    ]
    report.print_bars()
    report.write(keep_others=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
