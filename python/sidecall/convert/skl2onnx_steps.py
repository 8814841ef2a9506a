"""Uses converters that are registered with skl2onnx, for classes that sidecall does not convert.

skl2onnx has some of its own; users, onnxmltools and other packages register more. The graph that
such a converter makes becomes a part of ours, and is compared with the original like every other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from sidecall.converters import Converter

from .graph.builder import OPSETS, Tensor
from .graph.frame import Frame

if TYPE_CHECKING:
    from .registry import Conversion

# The output of skl2onnx's graph that holds the result of a method.
_OUTPUTS = {
    "transform": -1,
    "predict": 0,
    "predict_proba": 1,
    "decision_function": 1,
    "class_index": 0,
}


def skl2onnx_converter(model: object, method: str) -> Converter | None:
    """Calls skl2onnx's converter; None if skl2onnx has none for this class."""
    if method not in _OUTPUTS or not hasattr(model, method.replace("class_index", "predict")):
        return None
    try:
        from skl2onnx._supported_operators import sklearn_operator_name_map
    except ImportError:
        return None
    return _converter(method) if type(model) in sklearn_operator_name_map else None


def _converter(method: str) -> Converter:
    def convert(step: Any, columns: Frame, g: Conversion) -> Any:
        g.distrust()
        outputs = _outputs(g, step, method == "decision_function", columns)
        result = outputs[_OUTPUTS[method]] if len(outputs) > 1 else outputs[0]
        if method == "class_index":
            return _positions(g, np.asarray(step.classes_), result)
        if result.width is None:
            result.width = len(step.classes_) if method == "predict_proba" else 1
        return g.narrow(result) if result.dtype.startswith("float") else result

    return convert


def _outputs(g: Conversion, model: Any, wants_scores: bool, x: Frame) -> list[Tensor]:
    """The outputs of the graph that skl2onnx makes of a step."""
    key = (id(model), f"skl2onnx, scores: {wants_scores}", x.key)
    if key not in g.memo:
        graph, inputs = _graph(g, model, wants_scores, x)
        g.memo[key] = (model, g.inline(graph, *inputs))
    outputs: list[Tensor] = g.memo[key][1]
    return outputs


def _graph(
    g: Conversion, model: Any, wants_scores: bool, x: Frame
) -> tuple[onnx.ModelProto, list[Tensor]]:
    """The graph of a step, and the tensors for its inputs."""
    import skl2onnx
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    kinds = {
        "float32": FloatTensorType,
        "float64": DoubleTensorType,
        "int64": Int64TensorType,
        "bool": BooleanTensorType,
        "string": StringTensorType,
    }
    if "string" not in x.dtypes or set(x.dtypes) == {"string"}:
        inputs = [("X", x.matrix("string" if "string" in x.dtypes else None))]
    else:
        inputs = [(f"x{k}", x.column(k)) for k in range(len(x))]
    options: dict[str, Any] = {}
    if hasattr(model, "classes_"):
        options["zipmap"] = False
        if wants_scores:
            options["raw_scores"] = True
    try:
        graph = skl2onnx.convert_sklearn(
            model,
            initial_types=[(name, kinds[t.dtype]([None, t.width])) for name, t in inputs],
            target_opset={"": OPSETS[""], "ai.onnx.ml": OPSETS["ai.onnx.ml"]},
            options={id(model): options} if options else None,
        )
    except Exception as error:  # converters of other packages raise all kinds
        text = " ".join(str(error).split())
        raise g.refuse(
            f"skl2onnx does not convert it ({type(error).__name__}: {text[:200]})"
        ) from error
    return graph, [tensor for _, tensor in inputs]


def _positions(g: Conversion, classes: np.ndarray, labels: Tensor) -> Tensor:
    """The positions of labels in `classes`, int64 [N]."""
    labels = g.reshape(labels, [-1])
    if labels.dtype == "string":
        return g.op(
            "LabelEncoder",
            labels,
            dtype="int64",
            domain="ai.onnx.ml",
            keys_strings=[str(c) for c in classes.tolist()],
            values_int64s=list(range(len(classes))),
        )
    if labels.dtype != "int64" or classes.dtype.kind not in "iub":
        raise g.refuse("skl2onnx answers with labels of another type than the step's classes")
    return g.op(
        "LabelEncoder",
        g.cast(labels, "int64"),
        dtype="int64",
        domain="ai.onnx.ml",
        keys_int64s=[int(c) for c in classes.tolist()],
        values_int64s=list(range(len(classes))),
    )
