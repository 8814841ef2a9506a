"""Writes the report: one HTML page that contains its figures, and the same in Markdown with the
figures beside it.

`make report` runs it.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import jinja2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from page import figures
from page.sections import balancing_setups, sections_of, setup_title

HERE = Path(__file__).resolve().parent

BENCHMARKS = HERE.parents[1]
# The approaches that the figures of load and payload show; the tables show all.
LINES = (
    "in-process",
    "shm-native",
    "shm-python",
    "sidecall-http",
    "sidecall-grpc",
    "rest-json",
    "grpc-cpp-unix",
    "grpc-python-tcp",
    "rabbitmq",
    "kafka-tansu",
    "redis",
    "triton-http",
)


class Results:
    """The contents of results/network.json, with functions that find its parts by name."""

    def __init__(self, document: dict):
        self.document = document
        self.approaches = {one["name"]: one for one in document["approaches"]}
        titles = {one["name"]: one["title"] for one in document["workloads"]}
        first = [
            name for name in ("gbm", "penguins") if name in titles
        ]  # the most common case first
        self.workloads = {name: titles[name] for name in dict.fromkeys([*first, *titles])}
        self.rows = [row for row in document["rows"] if row["load"] != "cold"]
        # the reason, by approach
        self.left_out = document["unavailable"] | document.get("failed", {})
        self.cold = [row for row in document["rows"] if row["load"] == "cold"]

    def of(self, workload: str = "gbm", rows: int = 1, load: str = "closed 1") -> list[dict]:
        return [
            row
            for row in self.rows
            if (row["workload"], row["rows"], row["load"]) == (workload, rows, load)
        ]

    def row(
        self,
        approach: str,
        client: str,
        workload: str = "gbm",
        rows: int = 1,
        load: str = "closed 1",
    ) -> dict | None:
        return next(
            (
                row
                for row in self.of(workload, rows, load)
                if (row["approach"], row["client"]) == (approach, client)
            ),
            None,
        )

    def best(self, approach: str, **where: Any) -> dict | None:
        found = [row for row in self.of(**where) if row["approach"] == approach]
        return min(found, key=lambda row: row["p50_us"], default=None)

    def services(self) -> list[dict]:
        """The rows of whole services, sorted by load."""
        loads = [*self.crowds(), *self.loads()]
        found = [row for row in self.rows if self.approaches[row["approach"]]["group"] == "service"]
        return sorted(found, key=lambda row: (loads.index(row["load"]), row["p50_us"]))

    def first_best(self, approach: str) -> dict | None:
        """The fastest one-row, one-client result of the first workload that was measured for the
        approach.
        """
        return next(
            (
                found
                for workload in self.workloads
                if (found := self.best(approach, workload=workload))
            ),
            None,
        )

    def title(self, approach: str) -> str:
        return self.approaches[approach]["title"]

    def bar(self, name: str) -> dict | None:
        return next((bar for bar in self.document["bars"] if bar["name"] == name), None)

    def loads(self) -> list[str]:
        return sorted(
            {row["load"] for row in self.rows if row["load"].startswith("open")},
            key=lambda load: int(load[5:-2]),
        )

    def crowds(self) -> list[str]:
        return sorted(
            {row["load"] for row in self.rows if row["load"].startswith("closed")},
            key=lambda load: int(load[7:]),
        )

    def payloads(self) -> list[tuple[str, int, int]]:
        """Workload, rows, and bytes of one call's input, smallest first."""
        rows = sorted({row["rows"] for row in self.rows if row["workload"] == "gbm"})
        found = [("gbm", count, 120 * count) for count in rows]
        if self.of("image"):
            found.append(("image", 1, 602_112))
        return sorted(found, key=lambda one: one[2])


def _bytes_label(count: float, _position: object = None) -> str:
    return (
        f"{count / 1e6:.3g} MB"
        if count >= 1e6
        else f"{count / 1e3:.3g} kB"
        if count >= 1e3
        else f"{count:.0f} B"
    )


def load_lines(results: Results) -> dict[str, list[tuple[float, float, bool]]]:
    found = {}
    for name in LINES:
        points = []
        for load in results.loads():
            row = next((row for row in results.of(load=load) if row["approach"] == name), None)
            if row:
                points.append((float(load[5:-2]), row["p99_us"], row["kept_up"]))
        if points:
            found[results.title(name)] = points
    return found


def payload_lines(results: Results) -> dict[str, list[tuple[float, float, bool]]]:
    """Only the gradient boosting model, because another model would add its own time."""
    found = {}
    for name in LINES:
        points = []
        for workload, rows, size in results.payloads():
            row = results.best(name, workload=workload, rows=rows)
            if row and workload == "gbm":
                points.append((float(size), row["p50_us"], True))
        if len(points) > 1:
            found[results.title(name)] = points
    return found


def cpu_values(results: Results) -> dict[str, float]:
    found = {}
    for row in results.of():
        if row["cpu_s_per_million"] > 0:
            found[row["approach"]] = min(
                found.get(row["approach"], float("inf")), row["cpu_s_per_million"]
            )
    return found


def draw_all(results: Results, folder: Path) -> dict[str, str]:
    """SVG texts by name; the files are written beside the Markdown."""
    pictures = {}

    def add(name: str, figure: Any, title: str) -> None:
        pictures[name] = figures.draw(folder, name, figure, title)

    title = "One row of a 100-tree gradient boosting: median, whisker to the 99th percentile"
    add("latency", figures.latency(results.of(), results.approaches, title), title)
    if any(len(points) > 1 for points in load_lines(results).values()):
        title = "99th percentile by calls per second (open loop; hollow: could not keep up)"
        add(
            "load",
            figures.lines(load_lines(results), "calls per second", title, lambda x, _: f"{x:.0f}"),
            title,
        )
    if payload_lines(results):
        title = "Median by size of the request: 1, 100 and 10 000 rows"
        add(
            "payload",
            figures.lines(payload_lines(results), "bytes of input", title, _bytes_label),
            title,
        )
    if cpu_values(results):
        title = "CPU seconds per million calls, both sides, best client"
        add(
            "cpu",
            figures.bars(
                cpu_values(results), results.approaches, "CPU seconds per million calls", title
            ),
            title,
        )
    if "balancing" in results.document:
        title = "99th percentile of calls to servers that take 5 ms, and the share of each server"
        setups = balancing_setups(results.document["balancing"]["rows"])
        named = {setup_title(run_ms): rows for run_ms, rows in setups}
        add("balancing", figures.balancing(named, title), title)
    if results.document["decomposition"]:
        title = "Where the time of a call goes"
        add(
            "decomposition",
            figures.stacked(results.document["decomposition"], results.approaches, title),
            title,
        )
    return pictures


def write(document: dict, folder: Path) -> list[Path]:
    """Writes index.html, README.md and the figures; returns the paths of the two pages."""
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(document)
    pictures = draw_all(results, folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "time": figures.time_label,
        "bytes": _bytes_label,
        "count": lambda number: f"{number:,.0f}".replace(",", " "),
    }
    sections = sections_of(document)
    in_sections = [bar["name"] for section in sections for bar in section.bars]
    shared = {
        "results": results,
        "sections": sections,
        "own_bars": [bar for bar in document["bars"] if bar["name"] not in in_sections],
        "document": document,
        "pictures": pictures,
        "css": figures.theme_css(),
        "median": statistics.median,
    }
    written = []
    for template, name, escapes in (
        ("page.html.j2", "index.html", True),
        ("page.md.j2", "README.md", False),
    ):
        environment.autoescape = escapes
        path = folder / name
        path.write_text(environment.get_template(template).render(shared), encoding="utf-8")
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=BENCHMARKS / "results/network.json"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    options = parser.parse_args()
    for path in write(json.loads(options.results.read_text(encoding="utf-8")), options.out):
        print(path)


if __name__ == "__main__":
    main()
