"""Converters that users register with sidecall.register_converter, or with skl2onnx."""

import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import sidecall
from onnx import TensorProto, helper
from sidecall import converters
from skl2onnx import update_registered_converter
from skl2onnx.algebra.onnx_ops import OnnxAbs, OnnxIdentity, OnnxSub
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "paid": RNG.normal(size=120),
        "owed": RNG.normal(size=120),
        "city": RNG.choice(["Århus", "Łódź", "x"], 120),
    }
)
MATRIX = FRAME[["paid", "owed"]].to_numpy()
LABELS = np.where(FRAME.paid > FRAME.owed, "good", "bad")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Each test starts with no registered converter."""
    monkeypatch.setattr(converters, "_converters", {})


class Ratio(TransformerMixin, BaseEstimator):
    """A transformer that chooses its columns by name."""

    def fit(self, frame, y=None):
        self.mean_ = float((frame["paid"] / frame["owed"]).mean())
        return self

    def transform(self, frame):
        ratio = frame["paid"] / frame["owed"] - self.mean_
        return pd.DataFrame({"ratio": ratio, "in_x": (frame["city"] == "x").astype(float)})


def convert_ratio(step, columns, g):
    ratio = columns["paid"] / columns["owed"] - step.mean_
    return [ratio, g.cast(columns["city"].equals("x"), "float64")]


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier with scores; predict takes the class above 0.25."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.mean_ = float(np.mean(x))
        return self

    def decision_function(self, x):
        return np.asarray(x)[:, 0] - self.mean_

    def predict(self, x):
        return self.classes_[(self.decision_function(x) > 0.25).astype(int)]


class Halved(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        self.n_features_in_ = np.shape(x)[1]
        return self

    def transform(self, x):
        return np.asarray(x) / 2


class Inner(RegressorMixin, BaseEstimator):
    """A regressor that holds another one and a scaler."""

    def fit(self, x, y):
        self.scaler_ = StandardScaler().fit(x)
        self.inner_ = Ridge().fit(self.scaler_.transform(x), y)
        return self

    def predict(self, x):
        return np.maximum(self.inner_.predict(self.scaler_.transform(x)), 0.0)


def export(model, data, tmp_path):
    """Exports the model; export itself compares the answers on both engines."""
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert "native" in report.contract["engines"]
    return sidecall.open(tmp_path / "m.onnx")


def test_a_transformer_that_chooses_columns_by_name(tmp_path):
    sidecall.register_converter(Ratio)(convert_ratio)
    encode = make_column_transformer(
        (Ratio(), ["owed", "paid", "city"]), (OneHotEncoder(), ["city"])
    )
    model = make_pipeline(encode, LogisticRegression()).fit(FRAME, LABELS)
    with export(model, FRAME, tmp_path) as opened:
        answer = opened.predict(FRAME.iloc[0].to_dict())
    expected = model.predict_proba(FRAME[:1])[0]
    assert answer["probabilities"]["bad"] == pytest.approx(expected[0], abs=1e-12)
    assert sidecall.check(model, FRAME).ok


def test_a_classifier_whose_predict_is_not_the_largest_score(tmp_path):
    @sidecall.register_converter(Scores, "decision_function")
    def scores(step, columns, g):
        return g.columns(columns.matrix(), [0]) - step.mean_

    model = Scores().fit(MATRIX, LABELS)
    with pytest.raises(
        sidecall.ExportError, match=r"label.*register a converter of its class_index"
    ):
        export(model, MATRIX, tmp_path)  # without class_index, the larger score wins

    @sidecall.register_converter(Scores, "class_index")
    def index(step, columns, g):
        above = g.call(step, "decision_function", columns) > 0.25
        return g.op("Squeeze", g.cast(above, "int64"), g.const([1]))

    export(model, MATRIX, tmp_path).close()


def test_a_registered_classifier_inside_of_another_estimator(tmp_path):
    @sidecall.register_converter(Scores, "class_index")
    def index(step, columns, g):
        above = g.columns(columns.matrix(), [0]) - step.mean_ > 0.25
        return g.op("Squeeze", g.cast(above, "int64"), g.const([1]))

    model = VotingClassifier([("a", Scores()), ("b", LogisticRegression())]).fit(MATRIX, LABELS)
    export(model, MATRIX, tmp_path).close()


def test_a_converter_calls_the_converters_of_inner_estimators(tmp_path):
    @sidecall.register_converter(Inner, "predict")
    def inner(step, columns, g):
        return g.maximum(g.predict(step.inner_, g.transform(step.scaler_, columns)), 0.0)

    export(Inner().fit(MATRIX, MATRIX[:, 0]), MATRIX, tmp_path).close()


def test_a_converter_can_inline_an_onnx_model(tmp_path):
    @sidecall.register_converter(Halved)
    def halved(step, columns, g):
        x = columns.matrix("float64")
        return g.inline(one_node_model("Div", "float64", 2.0, x.width), x)

    export(make_pipeline(Halved(), Ridge()).fit(MATRIX, MATRIX[:, 0]), MATRIX, tmp_path).close()


def one_node_model(op, dtype, constant, width, opset=20, body=None):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    value = helper.make_tensor("by", kind, [], [constant])
    graph = helper.make_graph(
        body or [helper.make_node(op, ["x", "by"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", width])],
        [helper.make_tensor_value_info("y", kind, ["N", width])],
        [value],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_values_that_an_inlined_body_reads_are_renamed(tmp_path):
    """The branches of an If read values around them, and both branches use the same names."""

    def branch(name, op):
        out = helper.make_tensor_value_info("inner", TensorProto.DOUBLE, None)
        return helper.make_graph([helper.make_node(op, ["x", "by"], ["inner"])], name, [], [out])

    nodes = [
        helper.make_node("Greater", ["by", "by"], ["never"]),
        helper.make_node(
            *("If", ["never"], ["y"]),
            then_branch=branch("t", "Add"),
            else_branch=branch("e", "Div"),
        ),
    ]

    @sidecall.register_converter(Halved)
    def halved(step, columns, g):
        x = columns.matrix("float64")
        return g.inline(one_node_model("", "float64", 2.0, x.width, 17, nodes), x)

    report = sidecall.export(Halved().fit(MATRIX), tmp_path / "m.onnx", MATRIX)
    assert "onnxruntime" in report.contract["engines"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (one_node_model("Div", "float32", 2.0, 2), "expected float32, got float64"),
        (one_node_model("Div", "float16", 2.0, 2), "type float16, which is not supported"),
        (
            helper.make_model(
                one_node_model("Div", "float64", 2.0, 2).graph,
                opset_imports=[helper.make_opsetid("com.example", 1)],
            ),
            "operators of the domain com.example",
        ),
    ],
    ids=["another type", "an unknown type", "another domain"],
)
def test_onnx_models_that_cannot_be_inlined_are_refused(tmp_path, model, reason):
    @sidecall.register_converter(Halved)
    def halved(step, columns, g):
        return g.inline(model, columns.matrix("float64"))

    with pytest.raises(sidecall.ExportError, match=reason):
        export(Halved().fit(MATRIX), MATRIX, tmp_path)


@pytest.mark.parametrize(
    ("converter", "reason"),
    [
        (lambda step, columns, g: columns["paid"], "KeyError: column 'paid': the columns .* no name"),
        (lambda step, columns, g: columns[7], "IndexError: column 7: the step gets 2 columns"),
        (lambda step, columns, g: 1.0, "returned float, expected a tensor"),
        (lambda step, columns, g: [], "returned nothing, expected a tensor"),
        (lambda step, columns, g: g.op("Abs", columns.matrix()), "unknown width; pass width="),
        (lambda step, columns, g: step.absent, "AttributeError: .* has no attribute 'absent'"),
        (lambda step, columns, g: columns.matrix() / 3, "different answers"),
    ],
)  # fmt: skip
def test_a_wrong_converter_is_refused_with_the_step(tmp_path, converter, reason):
    sidecall.register_converter(Halved)(converter)
    model = make_pipeline(StandardScaler(), Halved()).fit(MATRIX)
    with pytest.raises(sidecall.ExportError, match=reason) as caught:
        export(model, MATRIX, tmp_path)
    assert "halved" in str(caught.value)


def test_a_converter_can_refuse_and_note(tmp_path):
    @sidecall.register_converter(Halved)
    def refusing(step, columns, g):
        raise g.refuse("only in units of two")

    with pytest.raises(sidecall.ExportError, match="only in units of two"):
        export(Halved().fit(MATRIX), MATRIX, tmp_path)

    @sidecall.register_converter(f"{__name__}.Halved")
    def noting(step, columns, g):
        g.note("halves are exact")
        return columns.matrix() / 2.0

    assert "halves are exact" in str(
        sidecall.export(Halved().fit(MATRIX), tmp_path / "m.onnx", MATRIX)
    )


def test_a_lookup_of_texts_and_of_integers(tmp_path):
    class Looked(TransformerMixin, BaseEstimator):
        def fit(self, frame, y=None):
            self.texts_, self.numbers_ = {"x": 0.1, "Łódź": -2.5}, {3: 10, -1: 20}
            return self

        def transform(self, frame):
            texts = frame["city"].map(self.texts_).fillna(0.7)
            numbers = frame["n"].map(self.numbers_).fillna(0).astype("int64")
            return pd.DataFrame({"texts": texts, "numbers": numbers})

    @sidecall.register_converter(Looked)
    def looked(step, columns, g):
        texts = g.lookup(columns["city"], step.texts_, 0.7)
        return [texts, g.lookup(columns["n"], step.numbers_, 0)]

    frame = FRAME[["city"]].assign(n=RNG.integers(-2, 5, 120))
    export(make_pipeline(Looked(), Ridge()).fit(frame, MATRIX[:, 0]), frame, tmp_path).close()


def test_missing_values_of_each_type(tmp_path):
    class Missing(TransformerMixin, BaseEstimator):
        def fit(self, frame, y=None):
            return self

        def transform(self, frame):
            return frame.isna().astype(float)

    @sidecall.register_converter(Missing)
    def missing(step, columns, g):
        return [g.cast(g.missing(columns[k]), "float64") for k in range(len(columns))]

    frame = FRAME.astype({"city": object})
    frame.loc[3, ["paid", "city"]] = None
    export(make_pipeline(Missing(), Ridge()).fit(frame, MATRIX[:, 0]), frame, tmp_path).close()


@pytest.mark.parametrize(
    ("convert", "truth"),
    [
        (lambda c, g: c["n"] < 10.5, lambda df: df["n"] < 10.5),
        (lambda c, g: c["n"] * 1.5 + 0.5, lambda df: df["n"] * 1.5 + 0.5),
        (lambda c, g: c["n"] / 300, lambda df: df["n"] / 300),
        (lambda c, g: g.maximum(c["n"], 0.5), lambda df: np.maximum(df["n"], 0.5)),
        (lambda c, g: g.where(c["n"] > 3, c["n"], 0.5), lambda df: np.where(df["n"] > 3, df["n"], 0.5)),
        (lambda c, g: c["n"].equals(0.5), lambda df: df["n"] == 0.5),
        (lambda c, g: (c["n"] > 3) + (c["n"] > 9), lambda df: (df["n"] > 3) * 1 + (df["n"] > 9)),
        (lambda c, g: c["n"] - (c["n"] > 3), lambda df: df["n"] - (df["n"] > 3)),
        (lambda c, g: g.sqrt(c["n"]) + c["paid"], lambda df: np.sqrt(df["n"]) + df["paid"]),
        (lambda c, g: np.float64(2) * c["n"], lambda df: 2.0 * df["n"]),
    ],
)  # fmt: skip
def test_operators_promote_types_as_numpy_does(tmp_path, convert, truth):
    class Step(TransformerMixin, BaseEstimator):
        def fit(self, frame, y=None):
            return self

        def transform(self, frame):
            return np.column_stack([truth(frame), frame["paid"]]).astype(float)

    @sidecall.register_converter(Step)
    def step(fitted, columns, g):
        return [g.cast(convert(columns, g), "float64"), columns["paid"]]

    frame = FRAME[["paid", "city"]].assign(n=RNG.permutation(120))
    export(make_pipeline(Step(), Ridge()).fit(frame, MATRIX[:, 0]), frame, tmp_path).close()


@pytest.mark.parametrize(
    ("converter", "reason"),
    [
        (lambda s, c, g: g.where(0 < c[0] < 1, c[0], c[1]), "a tensor has no truth value"),
        (lambda s, c, g: c[0] if c[0] > 0 else c[1], "a tensor has no truth value"),
        (lambda s, c, g: c.matrix() - g.sum(c.matrix(), axis=0), "from other rows of its batch"),
        (lambda s, c, g: g.cast(c.matrix(), "int"), "expected float32, .*, got 'int'"),
        (lambda s, c, g: g.lookup(c[0], {}, 0.0), "expected a dict with at least one key"),
        (lambda s, c, g: g.lookup(c[0], {1: 1.0, "a": 2.0}, 0.0), "keys .* all texts or all integers"),
        (lambda s, c, g: [c[0]], "returned 1 column, and transform of the step returns 2"),
    ],
)  # fmt: skip
def test_mistakes_in_a_converter_are_named(tmp_path, converter, reason):
    sidecall.register_converter(Halved)(converter)
    with pytest.raises(sidecall.ExportError, match=reason):
        export(make_pipeline(Halved(), Ridge()).fit(MATRIX, MATRIX[:, 0]), MATRIX, tmp_path)


def test_a_step_that_changes_its_argument_is_compared(tmp_path):
    class Doubling(Halved):
        def transform(self, x):
            x *= 2
            return x

    sidecall.register_converter(Doubling)(lambda step, columns, g: columns.matrix() * 3.0)
    model = make_pipeline(Doubling(), Ridge()).fit(MATRIX.copy(), MATRIX[:, 0])
    with pytest.raises(sidecall.ExportError, match="different answers"):
        export(model, MATRIX.copy(), tmp_path)
    sidecall.register_converter(Doubling)(lambda step, columns, g: columns.matrix() * 2.0)
    export(model, MATRIX.copy(), tmp_path).close()


def test_a_function_with_random_numbers_is_refused(tmp_path):
    model = FunctionTransformer(lambda x: x + np.random.default_rng().normal()).fit(MATRIX)
    with pytest.raises(sidecall.ExportError, match="changes from one call to the next"):
        export(model, MATRIX, tmp_path)


def test_columns_of_numbers_and_of_bools_make_one_matrix(tmp_path):
    model = FunctionTransformer(lambda df: df.assign(late=df["owed"] > 0))
    frame = FRAME[["paid", "owed"]]
    with export(model.fit(frame), frame, tmp_path) as opened:
        assert opened.predict({"paid": 1.0, "owed": 2.0})["transformed"] == [1.0, 2.0, 1.0]


def test_a_class_without_a_converter_is_told_about_the_hook():
    with pytest.raises(sidecall.ExportError, match=r"sidecall\.register_converter"):
        sidecall.export(Halved().fit(MATRIX), "unused.onnx", MATRIX)


def test_subclasses_need_a_converter_of_their_own():
    sidecall.register_converter(Halved)(lambda step, columns, g: columns.matrix() / 2.0)

    class Quartered(Halved):
        def transform(self, x):
            return super().transform(x) / 2

    (row,) = sidecall.check(Quartered().fit(MATRIX)).steps
    assert not row.converts and "no converter for the class" in row.reason


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"method: expected transform, .*, got 'fit'"):
        sidecall.register_converter(Halved, "fit")
    with pytest.raises(TypeError, match="model_class: expected a class or its name"):
        sidecall.register_converter(Halved())
    with pytest.raises(TypeError, match="converter: expected a function, got int"):
        sidecall.register_converter(Halved)(3)


def test_registering_loads_neither_onnx_nor_scikit_learn():
    heavy = "('onnx', 'sklearn', 'skl2onnx', 'numpy.testing')"
    code = (
        "import sys, sidecall; sidecall.register_converter('a.B')(print); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Distance(TransformerMixin, BaseEstimator):
    """Has a converter that is registered with skl2onnx."""

    def fit(self, x, y=None):
        self.mean_ = np.mean(x, axis=0)
        return self

    def transform(self, x):
        return np.abs(x - self.mean_)


def shape_of_distance(operator):
    operator.outputs[0].type = type(operator.inputs[0].type)(
        [None, len(operator.raw_operator.mean_)]
    )


def convert_distance(scope, operator, container):
    version, mean = container.target_opset, operator.raw_operator.mean_
    difference = OnnxSub(operator.inputs[0], mean, op_version=version)
    OnnxIdentity(
        OnnxAbs(difference, op_version=version), op_version=version, output_names=operator.outputs
    ).add_to(scope, container)


def test_converters_that_are_registered_with_skl2onnx_are_used(tmp_path):
    update_registered_converter(Distance, "TestDistance", shape_of_distance, convert_distance)
    model = make_pipeline(Distance(), LogisticRegression()).fit(MATRIX, LABELS)
    export(model, MATRIX, tmp_path).close()
    assert sidecall.check(model, MATRIX).ok


def test_classes_of_skl2onnx_convert(tmp_path):
    model = make_pipeline(CastTransformer(dtype=np.float32), Ridge()).fit(MATRIX, MATRIX[:, 0])
    export(model, MATRIX, tmp_path).close()


def test_a_failing_converter_of_skl2onnx_is_a_refusal(tmp_path):
    def failing(scope, operator, container):
        raise RuntimeError("not for\nthese rows")

    class Own(Distance):
        pass

    update_registered_converter(Own, "TestOwn", shape_of_distance, failing)
    with pytest.raises(
        sidecall.ExportError,
        match=r"skl2onnx does not convert it .RuntimeError: not for these rows.",
    ):
        export(Own().fit(MATRIX), MATRIX, tmp_path)


def test_the_file_is_an_ordinary_model(tmp_path):
    sidecall.register_converter(Halved)(lambda step, columns, g: columns.matrix() / 2.0)
    export(Halved().fit(MATRIX), MATRIX, tmp_path).close()
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)
