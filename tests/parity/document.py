"""The results of a run: the bars, results/fidelity.json, and the printed report. Used by run.py."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from common import Bar, Report

ROWS, PIPELINES, ESTIMATORS = 5_000_000, 300, 150
_SHOWN = 25

Result = dict[str, Any]
_DEFECT = ("seed", "number", "steps", "where", "reason", "at")


@dataclass
class Fidelity(Report):
    """The common document; it holds the results of each pipeline instead of times."""

    results: list[Result] = field(default_factory=list)
    # The estimators of docs/coverage.md that the native engine does not run, with the reason.
    estimators_refused: dict[str, str] = field(default_factory=dict)
    # Exports of one-hot encoders with many categories; see sizes.py.
    categories: list[dict[str, Any]] = field(default_factory=list)
    # Batches of texts with many terms; see texts.py.
    texts: list[dict[str, Any]] = field(default_factory=list)
    # Functions of integers of every width; see integers.py.
    integers: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        compared = [result for result in self.results if result["outcome"] == "compared"]
        keys = (
            "seed",
            "number",
            "table",
            "container",
            "steps",
            "dtypes",
            "precision",
            "rows",
            "wrong",
            "largest",
            "unstable",
            "tree_bits",
        )
        return super().document() | {
            "families": families(compared),
            "categories": self.categories,
            "texts": self.texts,
            "integers": self.integers,
            "domain": [[*key, total] for key, total in domain(compared).most_common()],
            "differences": [_difference(result) for result in compared if _differs(result)],
            "refused": [
                _pick(result, ("seed", "number", "steps", "step", "reason"))
                for result in self.results
                if result["outcome"] == "refused"
            ],
            "defects": [
                _pick(result, _DEFECT) for result in self.results if result["outcome"] == "defect"
            ],
            "native": {
                "pipelines": sum(1 for _ in on_native(compared)),
                "rows": sum(result["rows"] for result in on_native(compared)),
                "differences": [_difference(r) for r in on_native(compared) if _differs(r)],
                "refused": dict(refusals(compared).most_common()),
                "defects": [_pick(result, _DEFECT) for result in native_defects(compared)],
                "estimators_refused": self.estimators_refused,
            },
            "pipelines": [_pick(result, keys) for result in compared],
        }


def on_native(compared: list[Result]) -> Iterator[Result]:
    """The results of the pipelines whose files the native engine runs, as it answers them."""
    for result in compared:
        if result["native"]["outcome"] == "compared":
            yield _pick(result, ("seed", "number", "steps")) | result["native"]


def native_defects(compared: list[Result]) -> list[Result]:
    return [
        result | result["native"] for result in compared if result["native"]["outcome"] == "defect"
    ]


def refusals(compared: list[Result]) -> Counter[str]:
    """The pipelines whose files the native engine refuses, by operator and reason."""
    refused = [r["native"] for r in compared if r["native"]["outcome"] == "refused"]
    return Counter(native["reason"] for native in refused)


def bars(results: list[Result], estimators: int | None = None) -> list[Bar]:
    """The bars; `estimators` is the number of those that run on the native engine, if counted."""
    compared = [result for result in results if result["outcome"] == "compared"]
    rows = sum(result["rows"] for result in compared)
    unstable = sum(result["unstable"] for result in compared) / max(
        1, sum(result["compared"] for result in compared)
    )
    return [
        Bar("fidelity_wrong_rows", _sum(compared, "wrong"), 0),
        Bar("fidelity_rows", rows, ROWS, at_least=True),
        Bar("fidelity_pipelines", len(compared), PIPELINES, at_least=True),
        Bar("fidelity_tree_bits_differ", _sum(compared, "tree_bits"), 0),
        Bar("fidelity_domain_differs", _sum(compared, *_DOMAIN), 0),
        Bar("fidelity_unstable_share", unstable, 0.01),
        Bar("fidelity_routes_differ", _sum(compared, "routes"), 0),
        Bar("fidelity_defects", sum(result["outcome"] == "defect" for result in results), 0),
        *_native_bars(compared),
        *([] if estimators is None else [_estimators_bar(estimators)]),
    ]


def _native_bars(compared: list[Result]) -> list[Bar]:
    native = list(on_native(compared))
    return [
        Bar("native_wrong_rows", _sum(native, "wrong"), 0),
        Bar("native_tree_rows_differ", _sum(native, "tree_bits"), 0),
        Bar("native_domain_differs", _sum(native, *_DOMAIN), 0),
        Bar("native_routes_differ", _sum(native, "routes"), 0),
        Bar("native_defects", len(native_defects(compared)), 0),
    ]


def _estimators_bar(estimators: int) -> Bar:
    return Bar("native_estimators", estimators, ESTIMATORS, at_least=True)


_DOMAIN = ("refused_by_original", "refused_by_file")


def _sum(results: list[Result], *keys: str) -> int:
    return sum(result[key] for result in results for key in keys)


def _differs(result: Result) -> bool:
    return bool(
        result["wrong"]
        or result["routes"]
        or result["tree_bits"]
        or result["refused_by_original"]
        or result["refused_by_file"]
    )


def _pick(result: Result, keys: tuple[str, ...]) -> Result:
    return {key: result[key] for key in keys if key in result}


def _difference(result: Result) -> Result:
    keys = (
        "seed",
        "number",
        "steps",
        "wrong",
        "labels",
        "largest",
        "tree_bits",
        "routes",
        "refused_by_original",
        "refused_by_file",
    )
    more = ("families", "domain", "worst", "begin")
    return (
        _pick(result, keys)
        | {key: result[key] for key in more if result.get(key)}
        | {"again": again(result)}
    )


def families(compared: list[Result]) -> dict[str, dict[str, int]]:
    """The numbers of rows and of wrong rows in each family."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for result in compared:
        for name, (rows, wrong) in result["families"].items():
            found[name][0] += rows
            found[name][1] += wrong
    return {name: {"rows": rows, "wrong": wrong} for name, (rows, wrong) in sorted(found.items())}


def domain(compared: list[Result]) -> Counter[tuple[str, str, str]]:
    """Rows that only one side refuses, counted by that side, the family and the reason."""
    found: Counter[tuple[str, str, str]] = Counter()
    for result in compared:
        for side, family, reason, total in result["domain"]:
            found[side, family, reason.partition(":")[0]] += total
    return found


def again(result: Result) -> str:
    return f"python tests/parity/run.py --only {result['seed']}:{result['number']}"


def print_found(results: list[Result]) -> None:
    """Prints the worst pipelines first, each with the command that examines it alone."""
    compared = [result for result in results if result["outcome"] == "compared"]
    _print_differences("", compared)
    _print_differences(" on the native engine", list(on_native(compared)))
    refused = refusals(compared)
    if refused:
        print(f"\nfiles that the native engine refuses, {sum(refused.values())}:")
        for reason, total in refused.most_common(_SHOWN):
            print(f"  {total:>3}  {reason}")
    reasons = Counter(result["reason"] for result in results if result["outcome"] == "refused")
    if reasons:
        print(f"\nrefused at export, {sum(reasons.values())}:")
        for reason, total in reasons.most_common(_SHOWN):
            print(f"  {total:>3}  {reason}")
    _print_list(
        "defects",
        [r for r in results if r["outcome"] == "defect"] + native_defects(compared),
        lambda r: f"{r['where']}: {r['reason']} ({r.get('at', '')})",
    )
    print("\nfamily            rows      wrong")
    for name, counts in families(compared).items():
        print(f"{name:<14}{counts['rows']:>9,}{counts['wrong']:>11,}")


def _print_differences(where: str, compared: list[Result]) -> None:
    _print_list(
        f"wrong rows{where}",
        sorted((r for r in compared if r["wrong"]), key=lambda r: -r["wrong"]),
        _wrong_line,
    )
    _print_list(
        f"outputs of trees that differ in a bit{where}",
        [r for r in compared if r["tree_bits"]],
        lambda r: f"{r['tree_bits']} of {r['tree_rows']} rows",
    )
    _print_list(
        f"rows that only one model refuses{where}",
        [r for r in compared if r["domain"]],
        _domain_line,
    )
    for (side, family, reason), total in domain(compared).most_common(_SHOWN):
        print(f"  {total:>6} refused only by the {side}{where}: {family} ({reason})")


def _print_list(title: str, results: list[Result], line: Any) -> None:
    if not results:
        return
    print(f"\n{title}, {len(results)} pipelines:")
    for result in results[:_SHOWN]:
        name = f"{result['seed']}:{result['number']}"
        print(f"  --only {name}  {result['steps'][:110]}\n      {line(result)}")
    if len(results) > _SHOWN:
        print(f"  and {len(results) - _SHOWN} more: the document lists all of them")


def _wrong_line(result: Result) -> str:
    begin = result.get("begin", {}).get("step", "")
    kinds = ", ".join(f"{name} {wrong}" for name, (_, wrong) in result["families"].items() if wrong)
    size = f"by up to {float(result['largest']):.3g} x (1 + |expected|)"
    size += f", from {begin}" if begin else ""
    return f"{result['wrong']} of {result['rows']}, {size}: {kinds}"


def _domain_line(result: Result) -> str:
    first = "; ".join(
        f"{family} refused only by the {side} ({reason}) x {total}"
        for side, family, reason, total in result["domain"][:3]
    )
    by_original, by_file = result["refused_by_original"], result["refused_by_file"]
    return f"{by_original} by the original, {by_file} by the file: {first}"
