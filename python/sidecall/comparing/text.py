"""Shows a comparison as text; html.py shows the same tables in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall.exporting.reports.report import table

if TYPE_CHECKING:
    from .report import Begin, Comparison

_BAR = 30
OUTPUTS_HEAD = ("output", "moved", "largest difference", "in row", "tolerance")
STAGES_HEAD = ("after step", "largest difference / (1 + |expected|)")
WORST_HEAD = ("row", "output", "expected", "got", "difference")


def page(comparison: Comparison) -> str:
    parts = [
        f"{comparison.model} against {comparison.original}",
        "",
        table(None, facts(comparison)),
        "",
        table(OUTPUTS_HEAD, output_rows(comparison)),
    ]
    if comparison.compared:
        parts += ["", _histogram(comparison)]
    if comparison.begin is not None:
        parts += ["", _begin(comparison)]
    if comparison.worst:
        parts += ["", "worst rows", table(WORST_HEAD, worst_rows(comparison))]
    if comparison.notes:
        parts += ["", *(f"note: {note}" for note in comparison.notes)]
    return "\n".join(parts)


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    moved = f"{comparison.moved:,} of {comparison.rows:,} rows{share(comparison.moved, comparison.rows)}"
    lines = [("moved", moved)]
    if comparison.refused_by_original:
        lines.append(
            (
                "",
                f"{comparison.refused_by_original:,} that the original refuses and the exported model answers",
            )
        )
    if comparison.refused_by_model:
        lines.append(
            (
                "",
                f"{comparison.refused_by_model:,} that the exported model refuses and the original answers",
            )
        )
    if comparison.refused_by_both:
        lines.append(("refused by both", f"{comparison.refused_by_both:,}"))
    text = f"{comparison.unstable:,} rows that the original answers differently in batches of 1, 7 or 1,000; not counted as moved"
    lines.append(("unstable", text if comparison.unstable else "0"))
    looked = f"{comparison.checked:,} rows were checked for stability"
    lines.append(
        (
            "",
            looked
            + (
                f", and {comparison.unchecked:,} others that differ were not"
                if comparison.unchecked
                else ""
            ),
        )
    )
    served = comparison.precision == "original"
    lines.append(
        (
            "precision",
            "served without conversion"
            if served
            else f"the exported model computes in {comparison.precision}",
        )
    )
    lines.append(("took", f"{comparison.seconds:.1f} s"))
    return lines


def output_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for output in comparison.outputs:
        largest = "" if output.largest is None else number(output.largest)
        row = "" if output.largest_row is None else str(output.largest_row)
        limits = (
            f"{output.absolute:.2g} + {output.relative:.2g} x |expected|"
            if output.is_number
            else "equal"
        )
        rows.append((output.name, f"{output.moved:,} of {output.rows:,}", largest, row, limits))
    return rows


def worst_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    return [
        (
            str(w.row),
            w.output,
            cell(w.expected),
            cell(w.got),
            "" if w.difference is None else number(w.difference),
        )
        for w in comparison.worst
    ]


def bin_names(comparison: Comparison) -> list[str]:
    return [
        "none" if b.high == 0 else f"{'0' if b.low == 0 else short(b.low)} to {short(b.high)}"
        for b in comparison.bins
    ]


def _histogram(comparison: Comparison) -> str:
    """Draws bars with logarithmic lengths, so that one row among a million is visible."""
    longest = max((b.held + b.moved + b.unstable for b in comparison.bins), default=1)
    rows = []
    for name, b in zip(bin_names(comparison), comparison.bins, strict=True):
        count = b.held + b.moved + b.unstable
        bar = "#" * round(_BAR * np.log1p(count) / np.log1p(longest))
        kinds = [f"{n:,} {word}" for n, word in ((b.moved, "moved"), (b.unstable, "unstable")) if n]
        rows.append((name, f"{count:,}", bar, ", ".join(kinds)))
    return table(("difference / (1 + |expected|)", "rows", "", ""), rows)


def _begin(comparison: Comparison) -> str:
    assert comparison.begin is not None
    text = begin_text(comparison.begin)
    if not comparison.begin.stages:
        return text
    return text + "\n" + table(STAGES_HEAD, stage_rows(comparison.begin))


def begin_text(begin: Begin) -> str:
    if not begin.step:
        return f"the step where the difference begins could not be determined: {begin.reason}"
    return f"the difference begins in {begin.step}: {begin.reason}"


def stage_rows(begin: Begin) -> list[tuple[str, ...]]:
    return [
        (stage.step, "not compared" if stage.largest is None else number(stage.largest))
        for stage in begin.stages
    ]


def share(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.3g} %)" if part and whole else ""


def number(value: float) -> str:
    return f"{value:.3g}"


def short(edge: float) -> str:
    """Formats a power of ten as 1e-8, not as 1e-08."""
    return "infinity" if edge == np.inf else f"1e{round(np.log10(edge))}"


def cell(value: Any) -> str:
    """Formats a cell. A float has up to 17 digits, so that different doubles look different."""
    text = repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
