"""The results of export and check as tables for data scientists; `str(report)` is plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WEAK_ROWS = 1000
# The largest float64, the largest float32, and the largest number that rounds to a finite float32.
_LIMITS = (1.7976931348623157e308, 3.4028234663852886e38, 3.4028235677973362e38)


@dataclass
class Report:
    """The result of one export. `contract` is what the file holds; `parity` is a part of it.

    `not_native` says why the file is not proven on the native engine; None if it is proven.
    """

    path: Path | None
    contract: dict[str, Any]
    precision: str
    why: str
    size_bytes: int = 0
    seconds: float = 0.0
    id: str = ""
    not_native: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def parity(self) -> dict[str, Any]:
        part: dict[str, Any] = self.contract["parity"]
        return part

    @property
    def weak(self) -> bool:
        return bool(self.parity["weak"])

    def __str__(self) -> str:
        features, more = _features(self.contract["features"])
        parts = [
            self._title(),
            f"id {self.id}" if self.id else "",
            "",
            table(FEATURES_HEAD, features) + more,
            "",
        ]
        parts += [
            table(OUTPUTS_HEAD, _outputs(self.contract, self.parity)),
            "",
            table(None, self._findings()),
        ]
        if self.notes:
            parts += ["", *(f"note: {note}" for note in self.notes)]
        return "\n".join([*parts, "", self._made_with()])

    def _repr_html_(self) -> str:
        from sidecall._html import heading, html_table, paragraph, section

        features, more = _features(self.contract["features"])
        parts = [
            html_table(None, self._findings()),
            heading("outputs"),
            html_table(OUTPUTS_HEAD, _outputs(self.contract, self.parity)),
        ]
        parts += [
            _picture(self.contract, self.parity),
            heading("features"),
            html_table(FEATURES_HEAD, features),
            paragraph(more.strip()),
        ]
        parts += [paragraph(f"note: {note}") for note in self.notes]
        return section(self._title(), *parts, paragraph(self._made_with()))

    def _title(self) -> str:
        model = self.contract["model"]
        head = " ".join(
            part for part in (model["name"], model["version"], f"({model['task']})") if part
        )
        if self.path is not None:
            head += f" -> {self.path}, {_size(self.size_bytes)}"
        return head

    def _made_with(self) -> str:
        return "made with " + ", ".join(
            f"{name} {version}" for name, version in self.contract["versions"].items()
        )

    def _findings(self) -> list[tuple[str, str]]:
        parity, verification = self.parity, self.contract["verification"]
        rows = f"{parity['rows']} rows"
        strength = f"weak: {rows}" if parity["weak"] else f"measured on {rows}"
        source = (
            ""
            if parity.get("source", "data") == "data"
            else f" ({parity['source']}: no data was given)"
        )
        golden = (
            f"{verification['rows']} {verification['source']} rows"
            if verification["rows"]
            else "none: the file is not verified on open"
        )
        lines = [
            ("parity", strength + source + f", and {parity['synthetic_rows']} synthetic rows"),
            ("precision", f"{self.precision}: {self.why}"),
            ("golden rows", golden),
        ]
        if engines := self.contract.get("engines"):
            proven = ", ".join(f"{name} {version}" for name, version in engines.items())
            lines.append(
                (
                    "engines",
                    proven + (f"; not native: {self.not_native}" if self.not_native else ""),
                )
            )
        if refused := _refused(self.contract):
            lines.insert(2, ("refused", refused))
        if parity.get("unstable"):
            lines.insert(
                1,
                (
                    "unstable",
                    f"{parity['unstable']} rows left out: the model's own answer depends on the other rows of the batch",
                ),
            )
        if parity.get("rounded"):
            lines.insert(
                1,
                (
                    "rounding",
                    f"{parity['rounded']} rows get another answer from the file than from the model, because float32 cannot represent their values",
                ),
            )
        if self.seconds:
            lines.append(("took", f"{self.seconds:.1f} s"))
        return lines


@dataclass
class StepRow:
    step: str
    kind: str
    converts: bool
    reason: str


@dataclass
class CheckReport:
    """Which steps convert.

    With data, `report` is the result of the export, or `refusal` says why there is none.
    """

    steps: list[StepRow]
    report: Report | None = None
    refusal: str | None = None

    @property
    def ok(self) -> bool:
        return self.refusal is None and all(step.converts for step in self.steps)

    def __str__(self) -> str:
        rows = [
            (step.step or step.kind, step.kind, "yes" if step.converts else "no", step.reason)
            for step in self.steps
        ]
        text = table(("step", "class", "converts", "why not"), rows)
        if self.refusal is not None:
            text += f"\n\n{self.refusal}"
        return text if self.report is None else f"{text}\n\n{self.report}"


def table(head: tuple[str, ...] | None, rows: Sequence[tuple[str, ...]]) -> str:
    lines = [*([head] if head else []), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    if head:
        text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


FEATURES_HEAD = ("feature", "type", "nullable", "input", "values")
OUTPUTS_HEAD = ("output", "type", "classes or width", "largest difference", "verified within")


def _features(features: list[dict[str, Any]]) -> tuple[list[tuple[str, ...]], str]:
    """Returns the rows of the table, and a line that says how many are not shown."""
    shown = features if len(features) <= 60 else features[:50]
    rows: list[tuple[str, ...]] = []
    for feature in shown:
        place = (
            feature["input"]
            if feature["column"] == 0 and feature["input"] == feature["name"]
            else f"{feature['input']}[{feature['column']}]"
        )
        rows.append(
            (
                feature["name"],
                _type(feature),
                "yes" if feature["nullable"] else "no",
                place,
                _values(feature),
            )
        )
    return rows, "" if len(shown) == len(
        features
    ) else f"\n... and {len(features) - len(shown)} more"


def _type(feature: dict[str, Any]) -> str:
    words = [feature["type"], *(feature[key] for key in ("unit", "zone") if key in feature)]
    return " ".join(words)


def _values(feature: dict[str, Any]) -> str:
    if "allowed" in feature:
        return _cut("only " + ", ".join(str(value) for value in feature["allowed"]))
    seen = feature.get("seen")
    if not seen:
        return ""
    if "categories" in seen:
        return _cut(", ".join(str(value) for value in seen["categories"]))
    low, high = (v if isinstance(v, str) else _number(v) for v in (seen["min"], seen["max"]))
    return f"{low} to {high}"


def _refused(contract: dict[str, Any]) -> str:
    """Describes what the file refuses besides infinities.

    That is: numbers outside of a feature's domain, empty strings, and rows for which a step
    computes a number that it or the next step does not accept.
    """
    parts = []
    for feature in contract["features"]:
        domain = feature.get("domain")
        if domain is not None and not _is_finite(domain):
            shown = " or ".join(f"{_number(low)} to {_number(high)}" for low, high in domain[:3])
            parts.append(
                f"'{feature['name']}' outside of {shown}"
                + (" or other intervals" if len(domain) > 3 else "")
            )
        elif not feature.get("empty", True):
            parts.append(f"'{feature['name']}' where it is empty")
    more = [f"and {len(parts) - 4} more features"] if len(parts) > 4 else []
    steps = [
        f"rows for which {step['step']} receives values other than {step['expected']}"
        for step in contract.get("refused", {}).get("steps", ())
    ]
    return "; ".join([*parts[:4], *more, *steps])


def _is_finite(domain: list[list[Any]]) -> bool:
    return any(domain == [[-limit, limit]] for limit in _LIMITS)


def _outputs(contract: dict[str, Any], parity: dict[str, Any]) -> list[tuple[str, ...]]:
    measured = {entry["name"]: entry for entry in parity["outputs"]}
    rows: list[tuple[str, ...]] = []
    for output in contract["outputs"]:
        entry = measured.get(output["name"])
        shape = (
            ", ".join(str(label) for label in output["classes"])
            if "classes" in output
            else str(output.get("width", ""))
        )
        if entry is None:
            found, tolerance = "not deterministic, not verified", ""
        elif "disagreements" in entry:
            count = entry["disagreements"]
            margin = entry["closest_margin"]
            found = (
                "no label differs"
                if count == 0
                else f"{count} labels differ"
                + ("" if margin is None else f", closest margin {margin:.1e}")
            )
            tolerance = "equal, except ties"
        else:
            found = f"{entry['largest']:.1e}" + (
                "" if entry["at_row"] is None else f" in row {entry['at_row']}"
            )
            limits = contract["verification"]["tolerance"].get(output["name"])
            tolerance = (
                f"{limits['absolute']:.1e} + {limits['relative']:.0e} relative" if limits else ""
            )
        rows.append((output["name"], output["type"], _cut(shape), found, tolerance))
    return rows


def _picture(contract: dict[str, Any], parity: dict[str, Any]) -> str:
    """Draws the largest difference of each numeric output, and a line at its tolerance.

    The scale is logarithmic.
    """
    from sidecall._html import CALM, WARM, bar_at, picture, text_at

    width, left, right, lowest = 720.0, 130.0, 90.0, -17.0

    def at(value: float) -> float:
        power = min(max(math.log10(value), lowest), 0.0) if value > 0 else lowest
        return left + (width - left - right) * (1 - power / lowest)

    shapes, y = [], 8.0
    for entry in parity["outputs"]:
        if "largest" not in entry:
            continue
        largest, limits = entry["largest"], contract["verification"]["tolerance"].get(entry["name"])
        shapes += [
            text_at(left - 8, y + 11, entry["name"], "end"),
            bar_at(left, y, at(largest) - left, 14, CALM, f"{largest:.2g}"),
        ]
        if limits:
            shapes.append(
                bar_at(
                    at(limits["absolute"]),
                    y - 3,
                    2,
                    20,
                    WARM,
                    f"verified within {limits['absolute']:.2g}",
                )
            )
        y += 22
    if not shapes:
        return ""
    shapes += [
        text_at(at(10.0**power), y + 12, f"1e{power}", "middle") for power in range(-16, 1, 4)
    ]
    shapes += [
        text_at(
            left,
            y + 30,
            "largest difference at export; the line marks the tolerance of verification",
        )
    ]
    return picture(
        int(width),
        int(y) + 36,
        "largest difference of each output at export, on a logarithmic scale",
        shapes,
    )


def _cut(text: str, width: int = 48) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= width else text[: width - 3] + "..."


def _number(value: float | str) -> str:
    return str(value) if isinstance(value, (int, str)) else f"{value:.7g}"


def _size(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
