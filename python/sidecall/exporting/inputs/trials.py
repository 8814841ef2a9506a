"""Finds, in one call of a fitted model, which of many rows the model refuses.

Each step's rule is applied to the rows that the step gets. The step does not see the rows that
break the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from sidecall._methods import method_of
from sidecall.convert.checks import Rule

from ..model.original import Original, quiet
from ..model.steps import METHODS, answers, estimators_in, replaced, taken
from .probe import accepted_rows
from .rules import delegates, numbers_of

_BATCH = 4096


class Trials:
    """Starts from a row that the model accepts, and tries changes of this row.

    `build` makes rows in the model's own container from a list of changes.
    """

    def __init__(
        self,
        original: Original,
        rules: dict[int, Rule],
        build: Callable[[Sequence[Any]], Any],
        base: Any,
    ) -> None:
        self.original = original
        self.rules = rules
        self.build, self.base = build, base  # `base` is a change that changes nothing
        self.last = _last_step(original.model)
        self.steps = [
            step
            for step in estimators_in(original.model)
            if (rule := rules.get(id(step))) is not None and not rule.takes_all
        ]

    def expected(self, changes: Sequence[Any]) -> list[bool]:
        """Whether each change is accepted, according to the rules of the steps.

        The model itself is asked if no step has a rule that refuses numbers, or if the model fails
        in a way that the rules do not explain.
        """
        result: list[bool] = []
        for start in range(0, len(changes), _BATCH):
            part = changes[start : start + _BATCH]
            refused = self._by_rules(self.build([self.base, *part]), len(part) + 1)
            result += self.accepted_by_model(part) if refused is None else (~refused[1:]).tolist()
        return result

    def accepted_by_model(self, changes: Sequence[Any]) -> list[bool]:
        """Whether the model accepts each change; needs few calls if most are accepted."""
        result: list[bool] = []
        for start in range(0, len(changes), _BATCH):
            part = changes[start : start + _BATCH]
            result += accepted_rows(self.original, self.build(part), len(part)).tolist()
        return result

    def one_by_one(self, changes: Sequence[Any]) -> list[bool]:
        """Whether the model accepts each change; suits changes of which most are refused."""
        if not changes:
            return []
        rows = self.build(changes)
        return [self.original.accepts(taken(rows, slice(k, k + 1))) for k in range(len(changes))]

    def _by_rules(self, rows: Any, count: int) -> np.ndarray | None:
        """Returns, for each row, whether the rule of a step refuses the row.

        Returns None if no step has a rule that refuses numbers, or if the rules do not explain a
        failure. The first row must be one that the model accepts.
        """
        if not self.steps:
            return None
        refused = np.zeros(count, dtype=bool)
        with ExitStack() as stack:
            for step in self.steps:
                for method in METHODS:
                    if answers(step, method):
                        stack.enter_context(
                            replaced(step, method, partial(self._separating, step, refused))
                        )
            try:
                with quiet():
                    method_of(self.original.model, self.original.outputs[0].method)(rows)
            except _LastStepReachedError:
                pass
            except Exception:
                return None
        return None if refused[0] else refused

    def _separating(
        self, step: Any, refused: np.ndarray, answer: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        count = len(refused)
        if len(args) != 1 or options or getattr(args[0], "shape", (0,))[0] != count:
            return answer(*args, **options)
        (rows,) = args
        broken = np.zeros(count, dtype=bool)
        for numbers in numbers_of(rows):
            broken |= self.rules[id(step)].refuses(numbers)
        refused |= broken
        if step is self.last:
            raise _LastStepReachedError
        if broken.any():
            rows = taken(rows, np.where(broken, 0, np.arange(count)))
        return answer(rows)


class _LastStepReachedError(Exception):
    """All rows are judged, so the answer of the last step is not needed."""


def _last_step(model: Any) -> Any:
    while delegates(model):
        if hasattr(model, "steps"):
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return None
    return model
