"""Records what each step of a fitted model gets, and the type in which it computes.

Both are observed while the model answers for some rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np

METHODS = (
    "transform",
    "predict_proba",
    "decision_function",
    "score_samples",
    "predict",
    "inverse_transform",
    "kneighbors",
)
_TYPED = METHODS[:5]


class Given(NamedTuple):
    """One row that a step got, and the method that got it."""

    step: Any
    method: str
    rows: Any


class StepTypes:
    """The types in which the steps compute.

    `of` maps the id() of each step that has answered with numbers to "float32" or "float64".
    `given` holds one row that each step got. `categories` holds, for each step that keeps only
    hashes of its categories, the values that it got, by the position of the column. `halves` holds
    the id() of the steps that answer in float16.

    A step that answers in float32 computes in float32: scikit-learn's scalers and linear models
    keep the type that they were fitted on, and XGBoost knows no other type. Every other step
    computes in float64.
    """

    def __init__(self, model: Any) -> None:
        self.of: dict[int, str] = {}
        self.halves: set[int] = set()
        self.given: dict[int, Given] = {}
        self.categories: dict[int, dict[int, list[Any]]] = {}
        self._steps = list(estimators_in(model))
        self.holds_xgboost = is_xgboost(model) or any(map(is_xgboost, self._steps))

    @property
    def any_float32(self) -> bool:
        return "float32" in self.of.values() or self.holds_xgboost

    def examples(self) -> dict[int, Any]:
        """A row that each step got, in its own container, by the id() of the step."""
        return {key: given.rows for key, given in self.given.items()}

    def bools_of_functions(self) -> set[str]:
        """The columns that functions of Python get as bools, a type without missing values."""
        return {
            str(name)
            for given in self.given.values()
            if type(given.step).__name__ == "FunctionTransformer" and hasattr(given.rows, "iloc")
            for name, dtype in given.rows.dtypes.items()
            if dtype == np.dtype(bool)
        }

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Records, inside the block, what the steps get and answer."""
        with ExitStack() as stack:
            for step in self._steps:
                for method in METHODS:
                    if answers(step, method):
                        stack.enter_context(
                            replaced(step, method, partial(self._noting, step, method))
                        )
            yield

    @contextmanager
    def collecting(self) -> Iterator[bool]:
        """Records, inside the block, the values of columns of which a step holds only hashes.

        Yields whether there is such a step.
        """
        found: dict[int, dict[int, dict[Any, None]]] = {
            id(step): {k: {} for k in hashed_columns(step)} for step in self._steps
        }
        with ExitStack() as stack:
            for step in self._steps:
                for method in METHODS:
                    if found[id(step)] and answers(step, method):
                        collect = partial(_collect, found[id(step)])
                        stack.enter_context(replaced(step, method, collect))
            yield any(found.values())
        self.categories = {
            key: {k: list(values) for k, values in columns.items()}
            for key, columns in found.items()
            if columns
        }

    def _noting(
        self, step: Any, method: str, answer: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        result = answer(*args, **options)
        # The rules of the steps are tested later, with the rows recorded here. In a call with an
        # option such as check_input=False the step skips its checks, so do not record its row.
        if (
            len(args) == 1
            and not options
            and id(step) not in self.given
            and (rows := taken(args[0], slice(0, 1))) is not None
        ):
            self.given[id(step)] = Given(step, method, rows)
        if (
            method in _TYPED
            and not (method == "predict" and hasattr(step, "classes_"))
            and (dtype := _float_type(result))
        ):
            if dtype == "float16":
                self.halves.add(id(step))
                dtype = "float32"
            known = self.of.get(id(step), dtype)
            self.of[id(step)] = dtype if dtype == known else "float64"
        return result


@contextmanager
def replaced(step: Any, method: str, instead: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, `instead` is called in place of a method of this object.

    `instead` gets the replaced method, and the arguments of the call.
    """
    answer: Callable[..., Any] = getattr(step, method)

    @wraps(answer)  # scikit-learn reads the names of methods
    def calling(*args: Any, **options: Any) -> Any:
        return instead(answer, *args, **options)

    try:
        vars(step)[method] = calling
    except TypeError:  # an object without a __dict__ cannot be observed
        yield
        return
    try:
        yield
    finally:
        del vars(step)[method]


def taken(rows: Any, index: Any) -> Any:
    """Returns some rows, by a slice or an array of row numbers, in their own container.

    None if `rows` is not a container of rows.
    """
    if hasattr(rows, "iloc"):
        return rows.iloc[index]
    if isinstance(rows, np.ndarray) or (hasattr(rows, "tocsr") and hasattr(rows, "shape")):
        return rows.tocsr()[index] if hasattr(rows, "tocsr") else rows[index]
    if isinstance(rows, list):
        return rows[index] if isinstance(index, slice) else [rows[i] for i in index]
    return None


def answers(step: Any, method: str) -> bool:
    """Whether the class has the method; False if the instance replaces it."""
    try:
        return method not in vars(step) and callable(getattr(step, method, None))
    except Exception:  # a property that fails for this fitted model
        return False


def estimators_in(model: Any) -> Iterator[Any]:
    """Yields the model and every estimator inside it, each once."""
    pending, visited = [model], set()
    while pending:
        item = pending.pop()
        if id(item) in visited or isinstance(item, type):
            continue
        visited.add(id(item))
        if isinstance(item, (list, tuple, dict)):
            pending.extend(
                filter(_may_hold_estimators, item.values() if isinstance(item, dict) else item)
            )
            continue
        if hasattr(item, "get_params"):
            yield item
        if hasattr(item, "__dict__"):
            pending.extend(filter(_may_hold_estimators, vars(item).values()))


def is_xgboost(step: Any) -> bool:
    """Whether the step is from xgboost, which adds in float32 even if it answers in float64."""
    return type(step).__module__.partition(".")[0] == "xgboost"


def hashed_columns(step: Any) -> list[int]:
    """The columns of categories of which the step holds only hashes."""
    if type(step).__module__.partition(".")[0] != "catboost" or not step.is_fitted():
        return []
    return list(step.get_cat_feature_indices())


def _collect(
    columns: dict[int, dict[Any, None]],
    answer: Callable[..., Any],
    rows: Any,
    *args: Any,
    **options: Any,
) -> Any:
    for place, values in columns.items():
        if hasattr(rows, "iloc"):
            column = rows.iloc[:, place].unique().tolist()
        elif hasattr(rows, "to_series"):  # a frame of polars
            column = rows.to_series(place).unique().to_list()
        else:
            column = np.asarray(rows, dtype=object)[:, place].tolist()
        values.update(dict.fromkeys(column))
    return answer(rows, *args, **options)


def _may_hold_estimators(part: Any) -> bool:
    """Whether the part is a container or an estimator, or has an estimator.

    The members of CalibratedClassifierCV hold an estimator but are not estimators.
    """
    return (
        isinstance(part, (list, tuple, dict))
        or hasattr(part, "get_params")
        or hasattr(part, "estimator")
    )


def _float_type(answer: Any) -> str | None:
    """Returns the widest type of the answer's floats; None if it has none."""
    if hasattr(answer, "iloc") and hasattr(answer, "dtypes"):
        kinds = getattr(answer.dtypes, "tolist", lambda: [answer.dtypes])()
    elif isinstance(answer, list):
        kinds = [getattr(part, "dtype", None) for part in answer]
    else:
        kinds = [getattr(answer, "dtype", None)]
    floats = [kind for kind in kinds if getattr(kind, "kind", "") == "f"]
    if not floats:
        return None
    widest = max(np.dtype(f"f{kind.itemsize}").itemsize for kind in floats)
    return {2: "float16", 4: "float32"}.get(widest, "float64")
