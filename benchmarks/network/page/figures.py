"""The figures of the report, as SVG whose colours follow the reader's light or dark scheme. Used by
page/write.py.
"""

import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

# Placeholder colours that matplotlib draws with, and the colours that replace them: light, dark.
COLOURS = {
    "#010101": ("ink", "#1f2328", "#e6edf3"),
    "#020202": ("faint", "#d0d7de", "#3d444d"),
    "#030303": ("native", "#0969da", "#58a6ff"),
    "#040404": ("node", "#1a7f37", "#3fb950"),
    "#050505": ("python", "#bc4c00", "#f0883e"),
    "#060606": ("engine", "#8250df", "#a371f7"),
    "#070707": ("quiet", "#6e7781", "#8b949e"),
    "#080808": ("ours", "#0969da", "#58a6ff"),
}
INK, FAINT, QUIET, OURS = "#010101", "#020202", "#070707", "#080808"
CLIENT = {"native": "#030303", "node": "#040404", "python": "#050505"}
CLIENT_TITLE = {"native": "C or C++ client", "node": "Node client", "python": "Python client"}
OUR_GROUPS = ("in process", "shared memory", "network", "command")
PARTS = {"engine": "#060606", "serialise": "#050505", "kernel": "#030303", "framework": "#070707"}
LINES = ("-", "--", "-.", ":")

STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "svg.hashsalt": "sidecall",
}
mpl.rcParams.update(STYLE)


def theme_css() -> str:
    """CSS custom properties for both schemes; used in a standalone SVG and in the page."""
    light, dark = (
        ";".join(f"--{name}:{pair[scheme]}" for name, *pair in COLOURS.values())
        for scheme in (0, 1)
    )
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


def svg_of(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        bbox_inches="tight",
        metadata={"Date": None, "Creator": None, "Title": title},
    )
    plt.close(figure)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for stand_in, (name, *_) in COLOURS.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(
        r'(<svg [^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{title}"', text, count=1
    )
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    head = text.index(">", text.index("<svg")) + 1
    return f"{text[:head]}<style>{theme_css()}</style>{text[head:]}"


def time_label(microseconds: float, _position: object = None) -> str:
    for unit, factor in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if microseconds >= factor:
            return f"{microseconds / factor:.3g} {unit}"
    return f"{microseconds * 1000:.3g} ns"


def _log_time(axes: Axes, axis: str) -> None:
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(FuncFormatter(time_label))
    axes.grid(True, axis=axis, which="major", linewidth=0.8)
    axes.set_axisbelow(True)


def latency(rows: list[dict], approaches: dict[str, dict], title: str) -> Figure:
    """Approaches sorted by the median of their fastest client.

    Each client has a mark at its median and a whisker to the 99th percentile.
    """
    best: dict[str, float] = {}
    for row in rows:
        best[row["approach"]] = min(best.get(row["approach"], float("inf")), row["p50_us"])
    order = sorted(best, key=best.__getitem__, reverse=True)
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(order) + 1.2))
    for place, name in enumerate(order):
        of_approach = sorted(
            (row for row in rows if row["approach"] == name), key=lambda row: row["p50_us"]
        )
        for number, row in enumerate(of_approach):
            height = place + 0.22 * (number - (len(of_approach) - 1) / 2)
            colour = CLIENT[row["client"]]
            axes.plot(
                [row["p50_us"], row["p99_us"]],
                [height, height],
                color=colour,
                linewidth=1.4,
                alpha=0.75,
            )
            axes.plot(row["p50_us"], height, marker="o", markersize=5, color=colour)
        axes.text(
            best[name] / 1.25,
            place,
            time_label(best[name]),
            ha="right",
            va="center",
            fontsize=9,
            color=QUIET,
        )
    axes.set_yticks(range(len(order)), [approaches[name]["title"] for name in order])
    for label, name in zip(axes.get_yticklabels(), order, strict=True):
        if (
            approaches[name]["group"] in OUR_GROUPS
            and approaches[name]["engine"] != "generated"
            and approaches[name]["transport"] in ("sidecall", "process", "stream")
        ):
            label.set_color(OURS)
            label.set_fontweight("bold")
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_xlim(min(best.values()) / 4)
    _log_time(axes, "x")
    axes.set_title(title, loc="left", fontsize=12)
    marks = [
        axes.plot([], [], marker="o", color=CLIENT[client], label=CLIENT_TITLE[client])[0]
        for client in CLIENT
    ]
    axes.legend(
        handles=marks,
        loc="upper center",
        bbox_to_anchor=(0.4, -0.9 / len(order)),
        ncols=3,
        fontsize=9,
    )
    return figure


def lines(
    series: dict[str, list[tuple[float, float, bool]]],
    x_label: str,
    title: str,
    x_format: Callable[[float, object], str],
) -> Figure:
    """One line per name over its points (x, microseconds, whether the mark is filled).

    A hollow mark is a measurement in which the approach could not keep up with the rate.
    """
    figure, axes = plt.subplots(figsize=(9, 5.2))
    palette = ["#030303", "#040404", "#050505", "#060606", "#070707"]
    for number, (name, points) in enumerate(series.items()):
        colour, style = palette[number % len(palette)], LINES[number // len(palette) % len(LINES)]
        xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
        axes.plot(xs, ys, style, color=colour, linewidth=1.6)
        for x, y, is_full in points:
            axes.plot(
                x, y, "o", color=colour, markersize=5, markerfacecolor=colour if is_full else "none"
            )
        axes.annotate(
            name,
            (xs[-1], ys[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour,
        )
    axes.set_xscale("log")
    xs = sorted({x for points in series.values() for x, _, _ in points})
    axes.set_xticks(xs, [x_format(x, None) for x in xs])
    axes.minorticks_off()
    axes.set_xlabel(x_label)
    _log_time(axes, "y")
    axes.set_title(title, loc="left", fontsize=12)
    _part_labels(axes)
    return figure


def _part_labels(axes: Axes) -> None:
    """Labels at the ends of lines, moved apart if they would overlap."""
    labels = sorted(axes.texts, key=lambda text: text.xy[1])
    low, high = axes.get_ylim()
    height = (math.log(high) - math.log(low)) / 22
    last = -math.inf
    for label in labels:
        at = math.log(label.xy[1])
        moved = max(at, last + height)
        label.set_position((8, (moved - at) / height * 13))
        last = moved


def bars(values: dict[str, float], approaches: dict[str, dict], x_label: str, title: str) -> Figure:
    order = sorted(values, key=values.__getitem__, reverse=True)
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(order) + 1.2))
    for place, name in enumerate(order):
        is_ours = approaches[name]["transport"] == "sidecall"
        axes.barh(place, values[name], color=OURS if is_ours else QUIET, height=0.6)
        axes.text(values[name] * 1.15, place, f"{values[name]:,.3g}", va="center", fontsize=9)
    axes.set_yticks(range(len(order)), [approaches[name]["title"] for name in order])
    axes.set_xscale("log")
    axes.set_xlim(min(values.values()) / 2, max(values.values()) * 3)
    axes.grid(True, axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_title(title, loc="left", fontsize=12)
    return figure


def stacked(decomposition: list[dict], approaches: dict[str, dict], title: str) -> Figure:
    figure, axes = plt.subplots(figsize=(9, 0.7 * len(decomposition) + 1.6))
    for place, one in enumerate(reversed(decomposition)):
        left = 0.0
        for part, colour in PARTS.items():
            width = one["parts_us"][part]
            axes.barh(
                place,
                width,
                left=left,
                color=colour,
                height=0.55,
                label=part if place == 0 else None,
            )
            if width > 0.06 * one["total_us"]:
                axes.text(
                    left + width / 2,
                    place,
                    f"{part}\n{width:.0f} µs",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="white",
                )
            left += width
        axes.text(left * 1.01, place, f"{one['total_us']:.0f} µs", va="center", fontsize=10)
    axes.set_yticks(
        range(len(decomposition)),
        [approaches[one["approach"]]["title"] for one in reversed(decomposition)],
    )
    axes.set_xlim(0, max(one["total_us"] for one in decomposition) * 1.12)
    axes.set_xlabel("µs of one call, Python client")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.35), ncols=4, fontsize=9)
    axes.set_title(title, loc="left", fontsize=12)
    return figure


def balancing(setups: dict[str, list[dict]], title: str) -> Figure:
    """For each setup: the 99th percentile by load, and the shares of the servers at the highest
    load; one colour for each way to choose a server.
    """
    figure, axes = plt.subplots(
        2, len(setups), figsize=(11, 6), sharey="row", squeeze=False, height_ratios=[3, 2]
    )
    for column, (setup, rows) in enumerate(setups.items()):
        above, below = axes[0][column], axes[1][column]
        ways = list(dict.fromkeys(row["way"] for row in rows))
        width = 0.8 / len(ways)
        for number, way in enumerate(ways):
            colour = list(CLIENT.values())[number % len(CLIENT)]
            of_way = sorted((row for row in rows if row["way"] == way), key=lambda row: row["load"])
            above.plot(
                [row["load"] for row in of_way],
                [row["p99_us"] for row in of_way],
                "o-",
                color=colour,
                linewidth=1.6,
                markersize=5,
                label=way,
            )
            shares = of_way[-1]["shares"]
            left = [place + width * (number - (len(ways) - 1) / 2) for place in range(len(shares))]
            below.bar(left, shares, width * 0.9, color=colour)
        above.set_title(setup, fontsize=11)
        above.set_xlabel("load of all servers")
        loads = sorted({row["load"] for row in rows})
        above.set_xticks(loads, [f"{load:.0%}" for load in loads], fontsize=8)
        _log_time(above, "y")
        run_ms = rows[0]["run_ms"]
        below.set_xticks(range(len(run_ms)), [f"{milliseconds} ms" for milliseconds in run_ms])
        middle, half = (len(run_ms) - 1) / 2, max(len(run_ms) / 2, 1.5)
        below.set_xlim(middle - half, middle + half)
        below.set_xlabel(f"servers, at {rows[-1]['load']:.0%}")
        below.yaxis.set_major_formatter(PercentFormatter(1, 0))
        below.grid(True, axis="y", linewidth=0.8)
        below.set_axisbelow(True)
    axes[0][0].set_ylabel("99th percentile")
    axes[1][0].set_ylabel("share of the calls")
    # With one server there is only one way.
    handles, labels = axes[0][-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, -0.05), ncols=3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.tight_layout()
    return figure


def draw(folder: Path, name: str, figure: Figure, title: str) -> str:
    """Writes NAME.svg and returns its text for the page."""
    svg = svg_of(figure, title)
    (folder / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
    return svg
