"""A file of converters makes the same graphs if it is moved into sidecall/convert/families."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import sidecall
from sidecall import converters
from sidecall.convert import to_graph
from sidecall.convert.registry import Conversion
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

FILE = Path(__file__).parent / "user_converters.py"
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"paid": RNG.gamma(2, 50, 120), "city": RNG.choice(["Århus", "Łódź"], 120)})
MATRIX = RNG.normal(size=(120, 3)).astype("float32")
LABELS = np.where(MATRIX[:, 0] > MATRIX[:, 1], "good", "bad")

USER, MOVED = "shop_converters", "sidecall.convert.families.shop_converters"


@pytest.fixture
def load(monkeypatch):
    """Loads the file under a name; nothing is registered after the test that was not before."""
    monkeypatch.setattr(converters, "_converters", {})
    own = {name: dict(methods) for name, methods in converters._families.items()}
    monkeypatch.setattr(converters, "_families", own)

    def load_as(name):
        spec = importlib.util.spec_from_file_location(name, FILE)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load_as


PIPELINES = {
    "columns by name": lambda m: make_pipeline(m.Share(), Ridge()).fit(FRAME, FRAME.paid),
    "a step in a step": lambda m: make_pipeline(m.Squared(), Ridge()).fit(MATRIX, MATRIX[:, 0]),
    "a last step": lambda m: m.Squared().fit(MATRIX),
    "with class_index": lambda m: m.Above().fit(MATRIX, LABELS),
    "without class_index": lambda m: m.Below().fit(MATRIX, LABELS),
}


@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES)
def test_a_moved_file_makes_the_same_graphs(tmp_path, load, make):
    """In export, and in to_graph in both precisions."""
    graphs = []
    for name in (USER, MOVED):
        model = make(load(name))
        is_frame = "Share" in str(model)
        path = tmp_path / f"{name}.onnx"
        sidecall.export(model, path, FRAME if is_frame else MATRIX)
        graphs.append([onnx.load(path).graph.SerializeToString()])
        if not is_frame:
            for precision in ("float32", "float64"):
                graph = to_graph(model, [("X", precision, 3)], precision=precision)
                graphs[-1].append(graph.SerializeToString())
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize(("name", "unproven"), [(USER, ["Squared"]), (MOVED, [])])
def test_only_a_moved_file_is_trusted(load, name, unproven):
    model = load(name).Squared().fit(MATRIX)
    g = Conversion("float64", [])
    g.transform(model, g.const(np.zeros((1, 3))))
    assert g.checks.unproven == unproven


def test_a_moved_file_is_used_instead_of_converters_that_users_register(load):
    module = load(MOVED)

    @sidecall.register_converter(module.Squared)
    def other(step, columns, g):
        return columns.matrix()

    @sidecall.register_converter("sklearn:LogisticRegression", "predict_proba")
    def probabilities(step, columns, g):
        return columns.matrix()

    for model in (module.Squared(), LogisticRegression()):
        found, is_own = converters.converters_of(model)
        assert is_own and other not in found.values() and probabilities not in found.values()


@pytest.mark.parametrize("name", ["", "Ridge", "a.b:C", "shop:", ":Ratio", "shop: "])
def test_names_that_cannot_be_those_of_classes_are_errors(name):
    with pytest.raises(TypeError, match="model_class: expected a class or its name"):
        sidecall.register_converter(name)
