"""What judge.py finds out about one pipeline: counts, wrong rows, examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sidecall.comparing.differences import Difference, amounts
from sidecall.comparing.rows import Rows
from sidecall.comparing.sides import Answers

_EXAMPLES = 6

Matrices = dict[str, np.ndarray]


@dataclass
class Wrong:
    """Rows that differ, with both answers to them."""

    rows: Rows
    families: np.ndarray
    want: Matrices
    have: Matrices


@dataclass
class Counts:
    """Counts for one pipeline so far; they are numbers of rows unless stated otherwise.

    labels       wrong rows with another label
    largest      the largest |got - expected| / (1 + |expected|) of a wrong row
    unstable     rows that differ, and that the original answers in several ways
    looked       rows that differ and were checked again; `sampled`: the same for rows that agree
    tree_bits    rows among `tree_rows` in which a bit differs
    by_original  rows that only the original refuses; `by_file`: rows that only the file refuses
    routes       rows that get a different answer by another route to the file
    families     [rows, wrong rows] of each family
    domain       rows that only one side refuses, by side, family and reason
    """

    rows: int = 0
    compared: int = 0
    wrong: int = 0
    labels: int = 0
    largest: float = 0.0
    unstable: int = 0
    looked: int = 0
    sampled: int = 0
    sampled_unstable: int = 0
    tree_rows: int = 0
    tree_bits: int = 0
    by_original: int = 0
    by_file: int = 0
    by_both: int = 0
    routes: int = 0
    families: dict[str, list[int]] = field(default_factory=dict)
    domain: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    worst: list[dict[str, Any]] = field(default_factory=list)

    def unstable_rows(self) -> float:
        """The number of unstable rows among all that were compared.

        These are the unstable rows among those that differ, plus an estimate from a sample for the
        others.
        """
        share = self.sampled_unstable / self.sampled if self.sampled else 0.0
        return self.unstable + share * (self.compared - self.wrong - self.unstable)

    def add_families(self, families: np.ndarray, *, wrong: bool) -> None:
        for family, total in Counter(families.tolist()).items():
            name = "odd" if family.startswith("odd") else family
            self.families.setdefault(name, [0, 0])[wrong] += total

    def add_refusals(self, expected: Answers, got: Answers, families: np.ndarray) -> None:
        both = expected.refusals.keys() & got.refusals.keys()
        self.by_both += len(both)
        for side, mine, other in (("original", expected, got), ("file", got, expected)):
            alone = mine.refusals.keys() - other.refusals.keys()
            for row in alone:
                self.domain[side, str(families[row]), mine.refusals[row]] += 1
            if side == "original":
                self.by_original += len(alone)
            else:
                self.by_file += len(alone)

    def add_wrong(self, found: list[Difference], wrong: Wrong) -> None:
        """Counts wrong rows; `found` are their differences."""
        self.wrong += len(wrong.families)
        self.add_families(wrong.families, wrong=True)
        labels = [difference.is_bad for difference in found if not difference.output.is_number]
        self.labels += int(np.any(labels, axis=0).sum()) if labels else 0
        scaled = np.max([difference.scaled for difference in found], axis=0)
        self.largest = max(self.largest, float(scaled.max()))
        first = np.argsort(-scaled, kind="stable")[:_EXAMPLES]
        self.worst += [_example(int(place), found, wrong) for place in first]
        self.worst = sorted(self.worst, key=lambda item: -float(item["off"]))[:_EXAMPLES]

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "compared": self.compared,
            "wrong": self.wrong,
            "labels": self.labels,
            "largest": repr(self.largest),
            "unstable": round(self.unstable_rows(), 2),
            "tree_rows": self.tree_rows,
            "tree_bits": self.tree_bits,
            "routes": self.routes,
            "refused_by_original": self.by_original,
            "refused_by_file": self.by_file,
            "refused_by_both": self.by_both,
            "families": self.families,
            "domain": [[*key, total] for key, total in self.domain.most_common(12)],
            "worst": self.worst,
        }


def _example(place: int, found: list[Difference], wrong: Wrong) -> dict[str, Any]:
    """Describes one row: the output with the largest difference, and its column."""
    bad = [difference for difference in found if difference.is_bad[place]]
    worst = max(bad, key=lambda difference: difference.scaled[place])
    output = worst.output
    want, have = wrong.want[output.name][place], wrong.have[output.name][place]
    column = (
        int(np.argmax(amounts(want, have))) if output.is_number else int(np.argmax(want != have))
    )
    return {
        "family": str(wrong.families[place]),
        "output": output.columns[column],
        "expected": str(want[column]),
        "got": str(have[column]),
        "off": str(worst.scaled[place]),
    }
