"""Checks what the converters return that users registered with sidecall.register_converter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall.converters import METHODS, Converter, converters_of

from .errors import NotConvertible
from .graph.builder import Tensor
from .graph.frame import Frame

if TYPE_CHECKING:
    from .registry import Conversion


def is_registered(model: object) -> bool:
    """Whether the class has converters that users registered, and none of ours."""
    found, is_own = converters_of(model)
    return bool(found) and not is_own


def lacks_class_index(model: object) -> bool:
    """Whether the predicted class is taken from the scores of a registered converter."""
    found, _ = converters_of(model)
    has_scores = "predict_proba" in found or "decision_function" in found
    return is_registered(model) and has_scores and "class_index" not in found


def checked(converter: Converter, method: str) -> Converter:
    """Calls the converter, and refuses the step if it raises an error or returns no tensors."""

    def call(step: Any, columns: Frame, g: Conversion) -> Any:
        g.distrust()
        try:
            result = converter(step, columns, g)
        except NotConvertible:
            raise
        except Exception as error:
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            raise g.refuse(
                f"its registered converter raised {type(error).__name__}: {text}"
            ) from error
        if method in METHODS:
            _check(g, method, result, step)
        return result

    return call


def _check(g: Conversion, method: str, result: Any, step: Any) -> None:
    """Refuses a result that is not what the method returns."""
    if isinstance(result, Frame):
        result = result.parts
    parts = result if isinstance(result, list | tuple) else [result]
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(sorted({type(part).__name__ for part in parts})) or "nothing"
        raise g.refuse(f"its registered converter returned {kinds}, expected a tensor")
    if method == "class_index":
        if len(parts) > 1 or parts[0].dtype != "int64":
            raise g.refuse("its registered converter of class_index must return one int64 tensor")
        return
    if any(part.width is None for part in parts):
        raise g.refuse(
            "its registered converter returned a tensor of unknown width; pass width= to op()"
        )
    if method == "kneighbors" and (len(parts) != 2 or parts[0].width != parts[1].width):
        raise g.refuse(
            "its registered converter of kneighbors must return two tensors of the same width"
        )
    if method == "transform":
        _check_width(g, step, sum(part.width for part in parts))


def _check_width(g: Conversion, step: Any, width: int) -> None:
    """Refuses a result that has not as many columns as that of the step, if a row is known."""
    if id(step) not in g.examples:
        return
    try:
        example = g.examples[id(step)]
        expected = np.shape(step.transform(example.copy() if hasattr(example, "copy") else example))
    except Exception:  # the step needs more than one row, for example
        return
    if len(expected) == 2 and expected[1] != width:
        columns = f"{width} column" + "s" * (width != 1)
        raise g.refuse(
            f"its registered converter returned {columns}, "
            f"and transform of the step returns {expected[1]}"
        )
