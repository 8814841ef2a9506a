"""Calls the converters that users registered with sidecall.register_converter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall.converters import METHODS, find_converter

from .errors import NotConvertible
from .graph.builder import Tensor
from .graph.frame import Frame

if TYPE_CHECKING:
    from .registry import Conversion


def is_registered(model: object) -> bool:
    """Whether a method of the class has a registered converter."""
    return any(find_converter(model, method) is not None for method in METHODS)


def registered(model: object, method: str) -> Callable[[Conversion, Any, Frame], Any] | None:
    """The rule that calls the converter for this method; None if no converter serves it."""
    if method == "index":
        if (rule := _rule(model, "class_index")) is not None:
            return rule
        if find_converter(model, "predict_proba") is not None:
            return lambda g, m, x: g.argmax(g.call(m, "predict_proba", x))
        if find_converter(model, "decision_function") is not None:
            return _index_by_scores
        return None
    return _rule(model, method)


def lacks_class_index(model: object) -> bool:
    """Whether the predicted class is taken from the scores of a registered converter."""
    return find_converter(model, "class_index") is None and any(
        find_converter(model, method) for method in ("predict_proba", "decision_function")
    )


def _rule(model: object, method: str) -> Callable[[Conversion, Any, Frame], Any] | None:
    converter = find_converter(model, method)
    if converter is None:
        return None

    def rule(g: Conversion, step: Any, x: Frame) -> Any:
        g.distrust()
        try:
            result = converter(step, Frame(g, x.parts, x.sparse, g.column_names(step)), g)
        except NotConvertible:
            raise
        except Exception as error:
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            raise g.refuse(
                f"its registered converter raised {type(error).__name__}: {text}"
            ) from error
        answer = _checked(g, method, result)
        if method == "transform":
            _require_width(g, step, answer)
        return answer

    return rule


def _checked(g: Conversion, method: str, result: Any) -> Any:
    """The result of a converter in the form that the other rules return."""
    if isinstance(result, Frame):
        result = result.parts
    parts = result if isinstance(result, list | tuple) else [result]
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(sorted({type(part).__name__ for part in parts})) or "nothing"
        raise g.refuse(f"its registered converter returned {kinds}, expected a tensor")
    if method == "class_index":
        if len(parts) > 1 or parts[0].dtype != "int64":
            raise g.refuse("its registered converter of class_index must return one int64 tensor")
        return parts[0]
    for part in parts:
        if part.width is None:
            raise g.refuse(
                "its registered converter returned a tensor of unknown width; pass width= to op()"
            )
    parts = [g.narrow(part) if part.dtype.startswith("float") else part for part in parts]
    return Frame(g, parts) if method == "transform" else Frame(g, parts).matrix()


def _require_width(g: Conversion, step: Any, answer: Frame) -> None:
    """Refuses a result that has not as many columns as that of the step, if a row is known."""
    if id(step) not in g.examples:
        return
    try:
        example = g.examples[id(step)]
        expected = np.shape(step.transform(example.copy() if hasattr(example, "copy") else example))
    except Exception:  # the step needs more than one row, for example
        return
    if len(expected) == 2 and expected[1] != answer.width:
        columns = f"{answer.width} column" + "s" * (answer.width != 1)
        raise g.refuse(
            f"its registered converter returned {columns}, "
            f"and transform of the step returns {expected[1]}"
        )


def _index_by_scores(g: Conversion, model: Any, x: Frame) -> Tensor:
    scores = g.call(model, "decision_function", x)
    if scores.width == 1:
        return g.flatten(g.where(scores > 0.0, g.const(np.int64(1)), g.const(np.int64(0))))
    return g.argmax(scores)
