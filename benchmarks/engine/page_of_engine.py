"""`make report`: writes the page about the engines and its figure from results/engine.json.

python benchmarks/engine/page_of_engine.py FOLDER
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "network"))

from page import figures

RESULTS = Path(__file__).resolve().parents[1] / "results/engine.json"
TITLES = {
    "gbm": "gradient boosting, 100 trees",
    "gbm-lightgbm": "LightGBM, 100 x 8 leaves",
    "forest": "random forest, 100 trees",
    "hgb": "histogram gradient boosting",
    "lightgbm": "LightGBM, 500 x 31 leaves",
    "xgboost": "XGBoost, 300 x depth 6",
    "logistic": "logistic regression",
    "penguins": "penguins record",
    "text": "TF-IDF, logistic regression",
}
# The engines: their approaches, and how the figure shows them.
ENGINES = {
    "sidecall": (("call", "record"), figures.OURS, "o"),
    "ONNX Runtime": (
        ("raw_kept", "raw_kept_arena", "raw_record", "raw_record_arena"),
        figures.QUIET,
        "s",
    ),
    "m2cgen": (("m2cgen",), figures.CLIENT["python"], "^"),
    "tl2cgen": (("tl2cgen",), figures.CLIENT["python"], "v"),
    "lleaves": (("lleaves",), figures.CLIENT["python"], "D"),
    "LightGBM": (("lightgbm_single_row", "lightgbm_batch"), figures.CLIENT["node"], "P"),
    "XGBoost": (("xgboost",), figures.CLIENT["node"], "X"),
    "oneDAL": (("daal4py",), figures.PARTS["engine"], "<"),
    "Yggdrasil": (("ydf",), figures.PARTS["engine"], ">"),
}


def _times(document: dict, rows: int) -> dict[str, dict[str, float]]:
    """The time of a row in us by case and engine."""
    found: dict[str, dict[str, float]] = {}
    for case in TITLES:
        for engine, (approaches, *_) in ENGINES.items():
            times = [
                row["p50_us"] / rows
                for row in document["rows"]
                if (row["scenario"], row["rows"]) == (case, rows)
                and row["client"] in ("c", "python-peers")
                and row["approach"] in approaches
            ]
            if times:
                found.setdefault(case, {})[engine] = min(times)
    return found


def _draw(document: dict, sizes: list[int]) -> figures.Figure:
    figure, panels = figures.plt.subplots(
        1, len(sizes), figsize=(5 * len(sizes) + 1, 5), sharey=True, layout="constrained"
    )
    order = list(TITLES)[::-1]
    for axes, size in zip(panels, sizes, strict=True):
        times = _times(document, size)
        for place, case in enumerate(order):
            for engine, (_, colour, marker) in ENGINES.items():
                if engine in times.get(case, {}):
                    is_ours = engine == "sidecall"
                    axes.plot(
                        times[case][engine],
                        place,
                        marker,
                        color=colour,
                        markersize=9 if is_ours else 6,
                        zorder=3 if is_ours else 2,
                        alpha=1 if is_ours else 0.8,
                    )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(figures.FuncFormatter(figures.time_label))
        axes.grid(True, axis="both", which="major", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_yticks(range(len(order)), [TITLES[case] for case in order])
        axes.set_title("one row" if size == 1 else f"per row, {_count(size)} rows", loc="left")
    marks = [
        figures.plt.Line2D([], [], linestyle="", marker=marker, color=colour, label=engine)
        for engine, (_, colour, marker) in ENGINES.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=5, fontsize=9)
    return figure


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _label(microseconds: float | None) -> str:
    return "" if microseconds is None else figures.time_label(microseconds)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _of_calls(document: dict, size: int) -> str:
    times = _times(document, size)
    engines = [name for name in ENGINES if any(name in case for case in times.values())]
    return _table(
        ["model", *engines],
        [
            [TITLES[case], *(_label(row.get(name)) for name in engines)]
            for case, row in times.items()
        ],
    )


def _text(document: dict, sizes: list[int]) -> str:
    machine = document["machine"]
    parts = [
        "# The engines",
        "`make bench-engine` measures this. [The benchmarks]"
        "(../../benchmarks/README.md#scenarios-and-bars-of-engine) say how.",
        f"{machine['cpu']}, {machine['cpus']} CPUs, one thread for every engine. sidecall's own "
        "engine and ONNX Runtime run the same file. Times are medians.",
        "![Times of one row by model and engine](engine.svg)",
    ]
    for size in sizes:
        title = "One row" if size == 1 else f"{_count(size)} rows, time per row"
        parts += [f"## {title}", _of_calls(document, size)]
    parts += [
        "## Wrong rows",
        "Half of the rows lie beside thresholds. A row is wrong if a probability is further from "
        "the original's than 1e-8 (XGBoost: 1e-6), or if the label differs.",
        _table(
            ["model", "approach", "rows", "wrong"],
            [
                [TITLES[row["scenario"]], row["approach"], str(row["rows"]), str(row["wrong"])]
                for row in document["judged"]
            ],
        ),
        "## Bounds of the machine",
        "`one by one`: loading all nodes that a row visits, one after the other; `overlapped`: only"
        " the nodes of the longest path; `bandwidth`: reading these nodes from their cache and the"
        " row from memory.",
        _table(
            [
                "model",
                "cache",
                "nodes visited",
                "one by one",
                "overlapped",
                "one row",
                "bandwidth",
                "row of a batch",
            ],
            [
                [
                    TITLES[row["scenario"]],
                    row["cache"],
                    f"{row['loads']:.0f}",
                    *(
                        _label(row[key])
                        for key in (
                            "one_by_one_us",
                            "overlapped_us",
                            "one_row_us",
                            "bandwidth_us",
                            "batch_row_us",
                        )
                    ),
                ]
                for row in document["roofline"]
            ],
        ),
        "## Notes",
        "\n".join(f"- {note}" for note in document["notes"]),
        "## Bars",
        _table(
            ["bar", "value", "limit", "holds"],
            [
                [
                    bar["name"],
                    f"{bar['value']:.3f}",
                    f"{bar['limit']:g}",
                    "yes" if bar["holds"] else "no",
                ]
                for bar in document["bars"]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def write(document: dict, folder: Path) -> Path:
    """Writes engine.md and engine.svg; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = sorted({row["rows"] for row in document["rows"] if row["scenario"] == "gbm"})
    title = "Time of one row, by model and engine"
    batch = 10_000 if 10_000 in sizes else 100  # a quick run has only 100
    figures.draw(folder, "engine", _draw(document, [1, batch]), title)
    path = folder / "engine.md"
    path.write_text(_text(document, sizes), encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write(json.loads(RESULTS.read_text(encoding="utf-8")), Path(sys.argv[1])))
