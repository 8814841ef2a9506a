"""Pieces of HTML for models and reports in notebooks; the colours suit light and dark pages.

No script, no style sheet, nothing is loaded from a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

# Text and lines use the colour of the page, so they are readable on any background.
CALM, WARM, COOL = "#8a94a0", "#e8590c", "#4c6ef5"
_FAINT = "color-mix(in srgb, currentColor 25%, transparent)"
_CELL = f"padding:2px 10px 2px 0;border-bottom:1px solid {_FAINT};text-align:left;vertical-align:top;white-space:pre-wrap"


def section(title: str, *parts: str) -> str:
    """Returns a report: a title and the parts below it."""
    head = f'<div style="font-weight:600;font-size:1.1em;margin-bottom:6px">{escape(title)}</div>'
    return f'<div style="color:inherit;line-height:1.4;max-width:960px;overflow-x:auto">{head}{"".join(parts)}</div>'


def heading(text: str) -> str:
    return f'<div style="font-weight:600;margin:12px 0 4px">{escape(text)}</div>'


def paragraph(text: str) -> str:
    return f'<div style="margin:8px 0">{escape(text)}</div>'


def html_table(head: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> str:
    lines = []
    if head:
        lines.append(
            "<tr>"
            + "".join(f'<th style="{_CELL};font-weight:600">{escape(text)}</th>' for text in head)
            + "</tr>"
        )
    for row in rows:
        lines.append(
            "<tr>" + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in row) + "</tr>"
        )
    return f'<table style="border-collapse:collapse;color:inherit;font-size:0.95em;background:transparent">{"".join(lines)}</table>'


def picture(width: int, height: int, title: str, shapes: Sequence[str]) -> str:
    """Returns an SVG that is as wide as the page allows; a screen reader reads `title`."""
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" '
        f'style="width:100%;max-width:{width}px;height:auto;display:block;margin:8px 0" font-size="12" font-family="inherit" '
        f'fill="currentColor">{"".join(shapes)}</svg>'
    )


def text_at(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{escape(text)}</text>'


def bar_at(x: float, y: float, width: float, height: float, colour: str, hint: str = "") -> str:
    inside = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.0):.1f}" height="{height:.1f}" fill="{colour}">{inside}</rect>'
