"""Finds the first step whose numbers differ, so that the error names the step to change."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..data.columns import Column
from ..data.containers import Data
from ..inputs.schema import Schema
from ..model.original import Original
from .compare import compare
from .engine import Session

_NEIGHBOURS = ("KNNImputer", "KNeighborsClassifier", "KNeighborsRegressor")
# Transformers with discontinuous answers: the last digit of a number decides between two answers.
_DISCONTINUOUS = ("QuantileTransformer", "KBinsDiscretizer", "Binarizer")
_FLOAT32_HINT = "; it computes in float32, where a sum depends on the order of additions, which differs between CPUs: fit the model on float64 columns"
_FLOAT16_HINT = "; it computes in float16, which a graph does not reproduce: convert its columns to float32 or float64 before fit"
_TIES_HINT = "; it orders neighbours that are at equal distances (up to rounding), and a graph cannot reproduce this order"


class Leaf(NamedTuple):
    """A step that contains no other steps, and the steps from the start of the model up to it.

    `steps` can be joined into a pipeline: a branch stays inside the transformer that contains it.
    `chain` lists the steps that the numbers pass through, one after the other.
    """

    path: str
    step: Any
    steps: list[Any]
    chain: list[Any]

    @property
    def label(self) -> str:
        kind = type(self.step).__name__
        return f"{self.path} ({kind})" if self.path else kind


def locate_mismatch(
    model: Any,
    data: Data,
    schema: Schema,
    batches: list[list[Column]],
    types: Mapping[int, str],
    examples: Mapping[int, Any],
    halves: Collection[int],
    precision: str,
) -> tuple[str, str]:
    """Returns the path and class of the step, and a hint about this kind of step, or "".

    `halves` has the id() of each step that answers in float16.

    Parts of the model are converted and compared on their own: each prefix of the steps, and each
    branch of a ColumnTransformer or FeatureUnion. The compared rows are rounded as the inputs round
    them. Usually the last step of the first part that differs is named. With precision "float64",
    an earlier step, whose numbers differ in their last digits, is named in two cases. In the first,
    the last step of the part has discontinuous answers. In the second, this last step is also the
    last step of the model, and its answers agree when it gets the original's own numbers.
    """
    comparer = _StepComparer(
        data, schema, [batch for batch in batches if len(batch[0])], types, examples, precision
    )
    leaves = list(_leaves(model, "", []))
    found = next((leaf for leaf in leaves[:-1] if comparer.differs(leaf.steps)), leaves[-1])
    kind = type(found.step).__name__
    is_discontinuous = kind in _DISCONTINUOUS or (
        found is leaves[-1] and len(leaves) > 1 and comparer.agrees_alone(found.steps)
    )
    if precision == "float64" and is_discontinuous:
        before = [
            leaf
            for leaf in leaves
            if leaf is not found
            and (found is leaves[-1] or any(leaf.step is step for step in found.chain))
        ]
        inexact = next(
            (leaf for leaf in before if comparer.differs(leaf.steps, exactly=True)), None
        )
        if inexact is not None:
            return inexact.label, (
                f"; its numbers differ from the original's in their last digits, and the answer of {found.label} after it depends on these digits: "
                "round the numbers by adding FunctionTransformer(np.round, kw_args={'decimals': 6}) after this step, and fit again"
            )
    if kind in _NEIGHBOURS:
        return found.label, _TIES_HINT
    if id(found.step) in halves:
        return found.label, _FLOAT16_HINT
    is_single = precision == "float64" and types.get(id(found.step)) == "float32"
    return found.label, _FLOAT32_HINT if is_single else ""


def flat_steps(model: Any, path: str = "") -> list[tuple[str, Any]]:
    """The steps of a pipeline, of nested pipelines, and of the best estimator of a search."""
    if type(model).__name__.endswith("SearchCV") and hasattr(model, "best_estimator_"):
        return flat_steps(
            model.best_estimator_, f"{path} > best_estimator_" if path else "best_estimator_"
        )
    if type(model).__name__ != "Pipeline":
        return [(path, model)]
    return [
        leaf
        for name, step in model.steps
        if not hasattr(step, "fit_resample")
        for leaf in flat_steps(step, f"{path} > {name}" if path else name)
    ]


def _leaves(model: Any, path: str, before: list[Any]) -> Iterator[Leaf]:
    kind = type(model).__name__
    if kind.endswith("SearchCV") and hasattr(model, "best_estimator_"):
        yield from _leaves(model.best_estimator_, _joined(path, "best_estimator_"), before)
    elif kind == "Pipeline":
        for name, step in model.steps:
            is_sampler = hasattr(step, "fit_resample")
            if step is not None and step != "passthrough" and not is_sampler:
                yield from _leaves(step, _joined(path, name), before)
                before = [*before, step]
    elif kind == "ColumnTransformer" and hasattr(model, "transformers_"):
        for name, step, columns in model.transformers_:
            if not isinstance(step, str):
                for leaf in _leaves(step, _joined(path, name), []):
                    part = _copy(model, transformers_=[(name, _pipeline(leaf.steps), columns)])
                    yield leaf._replace(steps=[*before, part], chain=[*before, *leaf.chain])
    elif kind == "FeatureUnion":
        for name, step in model.transformer_list:
            if not isinstance(step, str):
                for leaf in _leaves(step, _joined(path, name), []):
                    part = _copy(model, transformer_list=[(name, _pipeline(leaf.steps))])
                    yield leaf._replace(steps=[*before, part], chain=[*before, *leaf.chain])
    else:
        yield Leaf(path, model, [*before, model], [*before, model])


def _joined(path: str, name: str) -> str:
    return f"{path} > {name}" if path else name


def _copy(model: Any, **changes: Any) -> Any:
    result = copy.copy(model)
    vars(result).update(changes)
    return result


def _pipeline(steps: list[Any]) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([(f"step{k}", step) for k, step in enumerate(steps)])


class _StepComparer:
    """Converts parts of the model and compares their answers with the original's.

    If a part cannot be compared, it counts as equal: an error here must not hide the difference
    that is to be explained.
    """

    def __init__(
        self,
        data: Data,
        schema: Schema,
        batches: list[list[Column]],
        types: Mapping[int, str],
        examples: Mapping[int, Any],
        precision: str,
    ) -> None:
        self.data, self.schema, self.precision = data, schema, precision
        self.types, self.examples = types, examples
        self.batches = [schema.rounds(batch) for batch in batches]

    def differs(self, steps: list[Any], *, exactly: bool = False) -> bool:
        """Whether the converted steps give other numbers than the original steps.

        Differences within the tolerance of parity do not count, unless `exactly` is True: then any
        bit counts.
        """
        try:
            model = _pipeline(steps)
            session = self._session(model, list(self.schema.inputs), self.data.left_out)
            return any(
                _differ(model, session, self.data.build(b), self.schema.tensors(b), exactly)
                for b in self.batches
            )
        except Exception:
            return False

    def agrees_alone(self, steps: list[Any]) -> bool:
        """Whether the converted last step agrees with the original last step if both get the output
        of the original's earlier steps.
        """
        try:
            *before, last = steps
            batches = [
                np.asarray(_pipeline(before).transform(self.data.build(batch)), dtype=np.float64)
                for batch in self.batches
            ]
            session = self._session(last, [("X", "float64", batches[0].shape[1])], [])
            return not any(_differ(last, session, batch, {"X": batch}, False) for batch in batches)
        except Exception:
            return False

    def _session(
        self, model: Any, inputs: list[tuple[str, str, int]], unused: list[int]
    ) -> Session:
        from sidecall.convert import to_graph

        return Session(
            to_graph(
                model,
                inputs,
                precision=self.precision,
                steps=self.types,
                unused=unused,
                examples=self.examples,
                dates=self.schema.dates,
            ),
            type(model).__name__,
        )


def _differ(
    model: Any, session: Session, rows: Any, tensors: dict[str, np.ndarray], exactly: bool
) -> bool:
    original = Original(model)
    original.describe(rows)
    for output in original.outputs:
        if not output.is_label:
            output.type = session.types[output.name]
    expected, got = original.ask(rows), session.run(tensors)
    if exactly:
        return not all(
            np.array_equal(expected[o.name], got[o.name], equal_nan=not o.is_label)
            for o in original.outputs
        )
    return bool(
        np.any([difference.bad.any() for difference in compare(original.outputs, expected, got)])
    )
