"""Runs that take long end at their deadline, even if they have only one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sidecall
from onnx import AttributeProto, TensorProto
from sidecall import errors
from two_engines import ML, make_node, model_of


def reals(name: str, values: Any) -> AttributeProto:
    return AttributeProto(name=name, type=AttributeProto.FLOATS, floats=np.asarray(values).tolist())


def test_a_support_vector_machine_with_many_classes_ends_at_its_deadline():
    classes = 1000
    pairs = classes * (classes - 1) // 2
    rng = np.random.default_rng(1)
    labels = {"classlabels_ints": list(range(classes)), "vectors_per_class": [1] * classes}
    node = make_node("SVMClassifier", ["x"], ["label", "scores"], domain=ML, **labels)
    slopes = rng.normal(size=pairs)
    node.attribute.extend(
        [
            reals("support_vectors", rng.normal(size=classes)),
            reals("coefficients", rng.normal(size=(classes - 1) * classes)),
            reals("rho", np.zeros(pairs)),
            reals("prob_a", slopes),
            reals("prob_b", slopes),
        ]
    )
    data = model_of(
        [node],
        {"x": (TensorProto.FLOAT, ["N", 1])},
        {"label": TensorProto.INT64, "scores": TensorProto.FLOAT},
    ).SerializeToString()
    model = sidecall.open(data, engine="native", verify="off")
    with model.call(1) as call:
        call.inputs["x"][...] = 1
        call.run()  # prepares the program, which takes long too
        with pytest.raises(errors.Timeout):
            call.run(timeout=0.001)
