"""One-line functions of integers of every width, at the ends of their types. Used by run.py.

python tests/parity/integers.py             every function: some minutes
python tests/parity/integers.py 'uint8: *'  those whose names match

numpy and pandas compute with integers in the type of the column, where results wrap around. Each
function is a pipeline of its own. Its fitted model and its file, on both engines, answer the same
rows: the smallest and the largest number of the type, the numbers beside them, and numbers where
results begin to wrap around. The rows are asked one by one, because a missing value changes the
type of a column in its whole batch. A function that export refuses is not wrong.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import numpy as np
import pandas as pd
import sidecall
from common import Bar
from sidecall.exporting.model.original import quiet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

WIDTHS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "Int8")
# `d` has the columns a and b of the type, n of int64, k of int8 and x of float64. `c` is a number
# of the type, and its products with most numbers of the type wrap around.
EXPRESSIONS = (
    # one column
    "d[['a']] * c", "d[['a']] + c", "c - d[['a']]", "d[['a']] - c", "d[['a']] ** 2",
    "d[['a']] ** 3", "-d[['a']]", "np.negative(d[['a']])", "np.abs(d[['a']])", "d[['a']].abs()",
    "np.square(d[['a']])", "d[['a']] // 7", "d[['a']] % 7", "d[['a']] // -3", "d[['a']] % -3",
    "d[['a']] // -1", "d[['a']] / 3", "1 / (d[['a']] + 1)", "d[['a']] ** 0.5", "d[['a']] * 0.5",
    "d[['a']] + np.int64(40000)", "np.sign(d[['a']])", "np.sqrt(d[['a']])", "np.log1p(d[['a']])",
    "np.exp(d[['a']] / 1000)", "np.sin(d[['a']])", "np.floor(d[['a']])", "np.rint(d[['a']])",
    "np.maximum(d[['a']], 3) * c", "np.minimum(d[['a']], 3) * c", "d[['a']].clip(0, 5) * c",
    "d[['a']].clip(0, 1000) * c", "d[['a']].round() * c", "np.where(d[['a']] > 3, d[['a']], 0) * c",
    "np.where(d[['a']] > 3, d[['a']] * c, 0.5)", "d[['a']].fillna(3) * c",
    "d[['a']].isin([1, 2, 3])", "d['a'].between(-3, 3).to_frame() * c",
    "(d[['a']] > 3) + (d[['a']] < 100)", "d[['a']] == c",
    "d['a'].map({1: 10, 2: 20}).to_frame() * 3", "np.power(d[['a']], 3)", "np.reciprocal(d[['a']])",
    "np.float_power(d[['a']], 2)",
    # casts
    "d[['a']].astype('int64') * c * c", "d[['a']].astype('float64') * c",
    "d[['a']].astype('float32') * c", "d[['a']].astype('int8')", "d[['a']].astype('uint8') * 3",
    "d[['a']].astype('int16') * c", "d[['a']].astype('int32') * c", "d[['a']].astype('bool')",
    "d[['n']].astype('int8') * 3", "d[['n']].astype('uint16') - 3",
    "d[['n']].astype('uint32') ** 2", "d[['n']].astype('int32') * 1000",
    "d[['x']].astype('float16') * 2",
    # several columns
    "(d['a'] - d['b']).to_frame()", "(d['a'] + d['b']).to_frame()", "(d['a'] * d['b']).to_frame()",
    "(d['a'] / d['b']).to_frame()", "(d['a'] // d['b']).to_frame()", "(d['a'] % d['b']).to_frame()",
    "(d['a'] * d['n']).to_frame()", "(d['a'] * d['k']).to_frame()", "(d['a'] - d['k']).to_frame()",
    "(d['a'] * d['x']).to_frame()", "(d['a'] > d['b']).to_frame()",
    "np.maximum(d['a'], d['b']).to_frame() + c", "np.abs(d['a'] - d['b']).to_frame()",
    "d[['a', 'b']].sum(axis=1).to_frame() * 2", "d[['a', 'b']].mean(axis=1).to_frame()",
    "d[['a', 'b']].max(axis=1).to_frame() * c", "d[['a', 'b']].min(axis=1).to_frame() - c",
    "d[['a', 'k']].max(axis=1).to_frame() * c", "d.assign(r=d['a'] * d['b'], s=d['a'] - d['n'])",
    "pd.DataFrame({'r': d['a'] * c, 's': d['b']})",
    "np.where(d['a'] > d['b'], d['a'], d['k'])[:, None] * 3",
    "((d['a'] + d['b']) * 2 - d['b']).to_frame()", "d[['a', 'b']].apply(lambda s: s * c)",
    # arrays
    "d[['a', 'b']].to_numpy() * c", "d[['a', 'k']].to_numpy() * 3", "d[['a', 'x']].to_numpy() * 3",
    "d.to_numpy()[:, :2].sum(axis=1, keepdims=True)",
    "np.sum(d[['a', 'b']].to_numpy(), axis=1)[:, None] * c",
    "np.mean(d[['a', 'b']].to_numpy(), axis=1)[:, None]",
    "np.max(d[['a', 'b']].to_numpy(), axis=1)[:, None] * c",
    "np.column_stack([d['a'] * c, d['b']])", "np.hstack([d[['a']] + c, d[['k']]])",
    "np.clip(d[['a']].to_numpy(), 0, 5) * c", "-d[['a', 'b']].to_numpy()",
)  # fmt: skip
_CONSTANTS = {1: 40, 2: 600, 4: 3_000_000, 8: 5_000_000_000}
_ROWS = 24  # of the data that the export gets
_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}


@dataclass(frozen=True)
class Function:
    """A function of a frame of a type. `refuses`: a step after it refuses missing values."""

    width: str
    expression: str
    refuses: bool

    @property
    def name(self) -> str:
        return f"{self.width}: {self.expression}" + (", checked" if self.refuses else "")


def functions() -> Iterator[Function]:
    """All functions. Every second one is followed by a step that refuses missing values."""
    for k, width in enumerate(WIDTHS):
        for j, expression in enumerate(EXPRESSIONS):
            yield Function(width, expression, (j + k) % 2 == 0)


def judge(function: Function, folder: Path) -> dict[str, Any]:
    """The result of a function: `outcome` is "compared", "refused" or "unfit".

    "unfit": the original itself raises an error. `wrong` has the rows whose answers differ.
    """
    steps = [FunctionTransformer(compiled(function.expression, function.width))]
    if function.refuses:
        steps.append(FunctionTransformer(validate=True))
    data = frame_of(function.width, [1, 2, 3, 4, 5, 6] * (_ROWS // 6))
    result: dict[str, Any] = {"name": function.name, "outcome": "unfit", "rows": 0, "wrong": []}
    try:
        with quiet():
            model = make_pipeline(*steps).fit(data)
            model.transform(data)
    except Exception as error:
        return result | {"reason": f"{type(error).__name__}: {error}"}
    try:
        sidecall.export(model, folder / "integers.onnx", data, progress=False)
    except sidecall.exporting.ExportError as error:
        return result | {"outcome": "refused", "reason": str(error)}
    result["outcome"] = "compared"
    values = ends(function.width)
    rows = frame_of(function.width, values)
    frames = [rows.iloc[[k]] for k in range(len(rows))] + _missing_rows(rows)
    expected = [_asked(model, frame) for frame in frames]
    for engine in ("onnxruntime", "native"):
        with sidecall.open(folder / "integers.onnx", engine=engine) as opened:
            for k, (frame, want) in enumerate(zip(frames, expected, strict=True)):
                got = _sent(opened, frame)
                result["rows"] += got is not None
                if got is not None and not _same(want, got):
                    result["wrong"].append({"engine": engine, "row": k, "want": want, "got": got})
    return result


def compiled(expression: str, width: str) -> Callable[[pd.DataFrame], Any]:
    names = {"np": np, "pd": pd, "c": _constant(width)}
    return eval(f"lambda d: {expression}", names)  # type: ignore[no-any-return]


def ends(width: str) -> list[int]:
    """Numbers of the type: its ends, and where products, sums and powers begin to wrap around."""
    if width == "bool":
        return [0, 1]
    info = np.iinfo(width.lower())
    low, high = int(info.min), min(int(info.max), 2**63 - 1)
    found = {low, low + 1, high - 1, high, -1, 0, 1, 3, 5, 7}
    for divisor in (2, 3, 60, _constant(width)):
        found |= {sign * (high // divisor + k) for k in (0, 1) for sign in (1, -1)}
    for root in (math.isqrt(high), round(high ** (1 / 3))):
        found |= {root - 1, root, root + 1, -root - 1, -root}
    found |= {high - _constant(width), high - _constant(width) + 1, low + _constant(width) - 1}
    return sorted(value for value in found if low <= value <= high)


def _constant(width: str) -> int:
    return _CONSTANTS[1 if width == "bool" else np.dtype(width.lower()).itemsize]


def frame_of(width: str, values: Sequence[int]) -> pd.DataFrame:
    rows = len(values)
    shifted = [*values[rows // 3 :], *values[: rows // 3]]
    return pd.DataFrame(
        {
            "a": pd.Series(list(values)).astype(width),
            "b": pd.Series(shifted[::-1]).astype(width),
            "n": np.resize([5, -3, 300, 70_000, -(2**31), 2**40 + 1], rows),
            "k": np.resize(np.array([2, -5, 127, -128], dtype="int8"), rows),
            "x": np.resize([0.5, -2.25, 1e6], rows),
        }
    )


def _missing_rows(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows in which a value is missing, in the types that they have then."""
    result = []
    for k, name in enumerate(["a", "b", "a"]):
        row = rows.iloc[[k % len(rows)]].copy()
        value = row[name].astype("Float64" if rows[name].dtype == "Int8" else "float64")
        value.iloc[0] = np.nan
        row[name] = value.astype(rows[name].dtype) if rows[name].dtype == "Int8" else value
        result.append(row)
    return result


def _asked(model: Any, row: pd.DataFrame) -> list[float] | None:
    """Python's answer; None if it raises an error."""
    try:
        with quiet():
            answer = np.asarray(model.transform(row))
        return [np.nan if value is pd.NA else float(value) for value in answer.ravel().tolist()]
    except Exception:
        return None


def _sent(opened: sidecall.Model, row: pd.DataFrame) -> list[float] | None:
    """The file's answer; None if it refuses the row."""
    record = {
        name: None if pd.isna(value) else value.item() if hasattr(value, "item") else value
        for name, value in row.iloc[0].astype(object).items()
        if name in {feature.name for feature in opened.features}
    }
    try:
        answer = opened.predict(record)["transformed"]
    except sidecall.Error:
        return None
    return [float(value) for value in np.ravel(answer)]


def _same(want: list[float] | None, got: list[float]) -> bool:
    # A float32 result of the original has the precision of float32 in the file too.
    return want is not None and np.allclose(
        got, want, rtol=_TOLERANCE["float32"], atol=1e-9, equal_nan=True
    )


def measure(pattern: str = "*", show: Any = None) -> list[dict[str, Any]]:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for function in functions():
            if fnmatchcase(function.name, pattern):
                results.append(judge(function, Path(folder)))
                if show is not None:
                    show(results[-1])
    return results


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What results/fidelity.json says."""
    outcomes = Counter(result["outcome"] for result in results)
    rows = sum(result["rows"] for result in results)
    return {**outcomes, "rows": rows, "wrong": [r for r in results if r["wrong"]]}


def bars(results: list[dict[str, Any]]) -> list[Bar]:
    return [Bar("integer_functions_wrong", sum(len(result["wrong"]) for result in results), 0)]


def _show(result: dict[str, Any]) -> None:
    if result["outcome"] == "unfit":
        return
    found = f"{result['rows']} rows, {len(result['wrong'])} wrong"
    text = found if result["outcome"] == "compared" else f"refused: {result['reason']}"
    print(f"{result['name']}: {text}", flush=True)
    for wrong in result["wrong"][:3]:
        print(f"    {wrong}", flush=True)


if __name__ == "__main__":
    judged = measure(sys.argv[1] if len(sys.argv) > 1 else "*", _show)
    for bar in bars(judged):
        print(bar)
    sys.exit(1 if any(result["wrong"] for result in judged) else 0)
