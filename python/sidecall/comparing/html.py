"""Shows a comparison in a notebook.

The page has the counts, a picture of the differences, the step where the differences begin, and the
worst rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sidecall._html import (
    CALM,
    COOL,
    WARM,
    bar_at,
    heading,
    html_table,
    paragraph,
    picture,
    section,
    text_at,
)

from .text import (
    OUTPUTS_HEAD,
    STAGES_HEAD,
    WORST_HEAD,
    begin_text,
    bin_names,
    facts,
    output_rows,
    stage_rows,
    worst_rows,
)

if TYPE_CHECKING:
    from .report import Comparison

_WIDTH, _LEFT, _RIGHT, _LINE, _BAR = 720, 130, 90, 22, 14
_KINDS = (("held", CALM), ("moved", WARM), ("unstable", COOL))


def page(comparison: Comparison) -> str:
    parts = [html_table(None, facts(comparison))]
    if comparison.compared:
        parts.append(_differences(comparison))
    parts.append(html_table(OUTPUTS_HEAD, output_rows(comparison)))
    if comparison.begin is not None:
        parts.append(paragraph(begin_text(comparison.begin)))
        if comparison.begin.stages:
            parts.append(html_table(STAGES_HEAD, stage_rows(comparison.begin)))
    if comparison.worst:
        parts += [heading("worst rows"), html_table(WORST_HEAD, worst_rows(comparison))]
    parts += [paragraph(f"note: {note}") for note in comparison.notes]
    return section(f"{comparison.model} against {comparison.original}", *parts)


def _differences(comparison: Comparison) -> str:
    """Draws a bar for each power of ten.

    The length of a bar grows with the logarithm of the number of rows; the parts of one bar are to
    scale.
    """
    longest = max((b.held + b.moved + b.unstable for b in comparison.bins), default=1)
    shapes = [text_at(0, 14, "rows by |got - expected| / (1 + |expected|)")]
    y = 26.0
    for name, b in zip(bin_names(comparison), comparison.bins, strict=True):
        counts = {"held": b.held, "moved": b.moved, "unstable": b.unstable}
        total = sum(counts.values())
        length = (
            (_WIDTH - _LEFT - _RIGHT) * float(np.log1p(total) / np.log1p(longest)) if total else 0.0
        )
        shapes.append(text_at(_LEFT - 8, y + _BAR - 3, name, "end"))
        x = float(_LEFT)
        for kind, colour in _KINDS:
            if counts[kind]:
                part = length * counts[kind] / total
                shapes.append(bar_at(x, y, part, _BAR, colour, f"{counts[kind]:,} {kind}"))
                x += part
        shapes.append(text_at(_LEFT + length + 6, y + _BAR - 3, f"{total:,}"))
        y += _LINE
    x = float(_LEFT)
    for kind, colour in _KINDS:
        shapes += [bar_at(x, y + 4, 10, 10, colour), text_at(x + 15, y + 13, kind)]
        x += 90
    title = (
        f"{comparison.moved} of {comparison.rows} rows moved, {comparison.unstable} are unstable"
    )
    return picture(_WIDTH, int(y) + 20, title, shapes)
