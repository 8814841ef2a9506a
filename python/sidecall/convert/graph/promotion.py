"""The type in which an operator computes, for operands of different types; used by builder.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# The type of a column of dates, which is an int64 tensor. Its counts are not numbers of the model,
# so no operator takes it (dates.py).
DATES = "datetime"
NO_NUMBERS = (
    "a column of dates reaches a step that computes with numbers; compute its parts in a step "
    "before, with .dt in a FunctionTransformer or with skrub's DatetimeEncoder"
)


def common_type(op: str, types: set[str], constants: Sequence[np.ndarray]) -> str:
    """The type of both operands of an operator of ONNX, as in numpy.

    `types` are those of the tensors. A constant takes the type of the tensor, unless the tensor has
    whole numbers and the constant has not. Raises TypeError for text beside numbers.
    """
    if types == {"string"}:
        if op not in ("Equal", "Where"):
            raise TypeError("texts can only be compared with equals()")
        return "string"
    if DATES in types:
        raise TypeError(NO_NUMBERS)
    if "string" in types or any(constant.dtype.kind not in "fiub" for constant in constants):
        raise TypeError("an operator cannot combine text and numbers")
    dtype = str(np.result_type(*types))
    for constant in constants:
        if dtype == "bool" and constant.dtype.kind != "b":
            dtype = "int64"
        is_fraction = constant.dtype.kind == "f" and not (constant == np.rint(constant)).all()
        if dtype.startswith("int") and is_fraction:
            dtype = "float64"
    if dtype == "bool" and op not in ("And", "Or", "Equal", "Where"):
        dtype = "int64"
    return "float64" if dtype.startswith("int") and op == "Div" else dtype
