"""Texts with many terms: the file lists those that a text has, and the native engine reads that.

test_text.py tests the functions that count all terms, and has the models and texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper
from scipy.sparse import csr_matrix
from sidecall import errors
from sidecall.convert import to_graph
from sidecall.convert.families import feature_extraction
from sidecall.convert.graph import text_functions
from sidecall.convert.graph.text_functions import DOMAIN, listing_function
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline, make_union
from test_text import ATTRIBUTES, FUSED, MODELS, WITHOUT_SIGMA, column
from two_engines import Native, OnnxRuntime, tensor

# A term that contains the separator of characters cannot be listed.
TEXTS = [text for text in WITHOUT_SIGMA if text_functions.ABSENT not in text]
CLASSES = np.arange(len(TEXTS)) % 3


@pytest.fixture(autouse=True)
def lists_always(monkeypatch):
    """As if every vocabulary were large."""
    monkeypatch.setattr(feature_extraction, "_FEWEST_LISTED", 0)


def functions_of(model: ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node if node.domain == DOMAIN}


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_onnxruntime_lists_the_counts_that_scikit_learn_has(model):
    proto = to_graph(
        make_pipeline(model, Ridge()).fit(TEXTS, np.arange(len(TEXTS))), [("text", "string", 1)]
    )
    (listing,) = (node for node in proto.graph.node if "List" in node.op_type)
    del proto.graph.output[:]
    for name in listing.output:
        kind = TensorProto.FLOAT if name == listing.output[2] else TensorProto.INT64
        proto.graph.output.append(helper.make_tensor_value_info(name, kind, [None]))
    engine = OnnxRuntime(proto.SerializeToString())
    texts = [*WITHOUT_SIGMA, "a \ufdd2 b", "a b", " "]
    for some in (texts, texts[:1], texts[2:3], []):
        row, place, count, rows = engine.run(column(some))
        assert rows.tolist() == [len(some)] and (np.diff(row) >= 0).all() and (count > 0).all()
        found = csr_matrix((count, (row, place)), (len(some), len(model.vocabulary_))).toarray()
        want = model.transform(some).toarray() if some else found
        assert np.array_equal(np.sign(found) if model.binary else found, want)


MORE = [
    make_pipeline(CountVectorizer(binary=True), TfidfTransformer(sublinear_tf=True), Ridge()),
    make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 4)), Ridge()),
    make_pipeline(make_union(TfidfVectorizer(), CountVectorizer(analyzer="char")), Ridge()),
    make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0)),
    make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 3), stop_words=["the"]),
        VotingClassifier(
            [("a", LogisticRegression()), ("b", SGDClassifier(loss="log_loss", random_state=0))],
            voting="soft",
        ),
    ),
    # The forest needs the matrix, with another version of the operator set.
    make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 2)),
        VotingRegressor([("a", Ridge()), ("b", RandomForestRegressor(3, random_state=0))]),
    ),
]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("model", FUSED + MORE, ids=str)
def test_models_behind_listed_terms_agree_with_scikit_learn_on_both_engines(model, precision):
    model.fit(TEXTS, CLASSES)
    proto = to_graph(model, [("text", "string", 1)], precision=precision)
    data = proto.SerializeToString()
    native, onnxruntime = Native(data), OnnxRuntime(data)
    ask = next(
        getattr(model, name)
        for name in ("predict_proba", "decision_function", "predict", "transform")
        if hasattr(model, name)
    )
    bound = 1e-12 if precision == "float64" else 2e-5
    for texts in (WITHOUT_SIGMA, WITHOUT_SIGMA[:1], WITHOUT_SIGMA[2:3]):
        want = ask(texts)
        want = want.toarray() if hasattr(want, "toarray") else want
        for engine in (native, onnxruntime):
            answers = engine.run(column(texts))
            (found,) = (a for a in answers if a.dtype.kind == "f")
            assert np.allclose(found.reshape(want.shape), want, rtol=bound, atol=bound)
    assert all(len(answer) == 0 for answer in onnxruntime.run(column([])))


def test_a_matrix_is_in_the_file_only_if_a_step_needs_it():
    tfidf = TfidfVectorizer()
    linear = make_pipeline(tfidf, Ridge()).fit(TEXTS, CLASSES)
    forest = make_pipeline(tfidf, RandomForestRegressor(3, random_state=0)).fit(TEXTS, CLASSES)
    listed, counted = (to_graph(m, [("text", "string", 1)]) for m in (linear, forest))
    assert functions_of(listed) == {
        *("ReplaceListWords", "ScaleTerms", "NormalizeTerms", "MultiplyTerms"),
    }
    assert functions_of(counted) == {"ReplaceCountWords"}


def test_a_small_vocabulary_and_one_with_the_separator_are_counted(monkeypatch):
    separated = CountVectorizer(analyzer="char").fit([*TEXTS, text_functions.ABSENT])
    model = make_pipeline(separated, Ridge()).fit([*TEXTS, text_functions.ABSENT], range(14))
    assert functions_of(to_graph(model, [("text", "string", 1)])) == {"ReplaceCountCharacters"}
    monkeypatch.undo()
    model = make_pipeline(CountVectorizer(), Ridge()).fit(TEXTS, CLASSES)
    assert functions_of(to_graph(model, [("text", "string", 1)])) == {"ReplaceCountWords"}


# ---- Files that the converter does not write ----

LISTED: dict[str, Any] = {
    **{name: value for name, value in ATTRIBUTES.items() if "gram" not in name},
    "terms": ["a", "b", "a b"],
    "term_columns": [0, 1, 2],
    "longest_gram": 2,
    "width": 3,
}
WEIGHTS = np.array([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]], np.float32)


def node(function: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    name = f"make_{outputs.split()[0]}"
    return helper.make_node(
        function, inputs.split(), outputs.split(), name, domain=DOMAIN, **attributes
    )


def file(
    nodes: list[NodeProto] | None = None,
    constants: dict[str, Any] | None = None,
    output: str = "y",
    unit: Any = "words",
    **changes: Any,
) -> ModelProto:
    """Texts whose terms are listed, and nodes that read the list; None leaves an attribute out."""
    function = listing_function(unit, False)
    attributes = {k: v for k, v in (LISTED | changes).items() if k in function.attribute}
    attributes = {k: v for k, v in attributes.items() if v is not None}
    listing = node(function.name, "text", "row column count rows", **attributes)
    multiply = node("MultiplyTerms", "row column count rows weights bias", "y")
    values = {"weights": WEIGHTS, "bias": np.array([0.5, 0.25], np.float32)} | (constants or {})
    graph = helper.make_graph(
        [listing, *([multiply] if nodes is None else nodes)],
        "graph",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [tensor(np.asarray(value), name) for name, value in values.items()],
    )
    imports = {"": 20, "ai.onnx.ml": 3, "com.microsoft": 1, DOMAIN: 1}
    functions = [
        function,
        text_functions.damping_function(),
        text_functions.scaling_function(),
        text_functions.normalizing_function(),
        text_functions.multiplying_function(),
    ]
    return helper.make_model(
        graph,
        functions=functions,
        opset_imports=[helper.make_opsetid(*item) for item in imports.items()],
        ir_version=9,
    )


MULTIPLY = "row column v rows weights bias"
NORMALIZE = [node("NormalizeTerms", "row count rows least one", "v")]
SMALL: dict[str, Any] = {"least": np.float32(1e-6), "one": np.float32(1)}
SAME_ANSWER: dict[str, Callable[[], ModelProto]] = {
    "product": file,
    "characters": lambda: file(unit="characters", terms=["a", "b", "a\ufdd2 "]),
    "kept words": lambda: file(unit="kept_words"),
    "columns in another order": lambda: file(term_columns=[2, 0, 1]),
    "terms with one column": lambda: file(term_columns=[1, 1, 0]),
    "a term that is too long": lambda: file(longest_gram=1),
    "sign": lambda: file(
        [helper.make_node("Sign", ["count"], ["v"]), node("MultiplyTerms", MULTIPLY, "y")]
    ),
    "logarithm": lambda: file(
        [node("DampTerms", "count", "v"), node("MultiplyTerms", MULTIPLY, "y")]
    ),
    "norm": lambda: file([*NORMALIZE, node("MultiplyTerms", MULTIPLY, "y")], SMALL),
    "large least length": lambda: file(
        [*NORMALIZE, node("MultiplyTerms", MULTIPLY, "y")],
        {"least": np.float32(1.5), "one": np.float32(4)},
    ),
    "two products of a logarithm": lambda: file(
        [
            node("DampTerms", "count", "v"),
            node("MultiplyTerms", MULTIPLY, "first"),
            node("MultiplyTerms", "row column v rows others bias", "second"),
            helper.make_node("Mul", ["first", "second"], ["y"]),
        ],
        {"others": WEIGHTS[::-1] / 3},
    ),
}


@pytest.mark.parametrize("make", SAME_ANSWER.values(), ids=SAME_ANSWER)
def test_nodes_behind_listed_terms_answer_alike_on_both_engines(make):
    data = make().SerializeToString()
    texts = {"text": np.array(["a b", "a  b a", "", "b a the a a", "c"], object)}
    (native,), (other,) = (engine.run(texts) for engine in (Native(data), OnnxRuntime(data)))
    assert native.shape == other.shape and np.allclose(native, other, rtol=1e-6, atol=0)
    assert np.isfinite(other).all()


SCALE = [node("ScaleTerms", "column count w", "v"), node("MultiplyTerms", MULTIPLY, "y")]
REFUSED: list[tuple[str, Callable[[], ModelProto]]] = [
    ("expected attribute 'terms', got none", lambda: file(terms=None)),
    ("expected attribute 'width', got none", lambda: file(width=None)),
    ("expected attribute 'longest_gram', got none", lambda: file(longest_gram=None)),
    ("'width': expected the number of terms", lambda: file(width=4)),
    ("'width': expected the number of terms", lambda: file(width=2**62)),
    ("expected columns below", lambda: file(term_columns=[0, 1, 3])),
    ("expected columns below", lambda: file(term_columns=[0, 1, -1])),
    ("one column for each sequence, got fewer", lambda: file(term_columns=[0, 1])),
    ("each sequence of tokens once", lambda: file(terms=["a", "b", "a"])),
    ("expected no empty tokens", lambda: file(terms=["a", "b", "a  b"])),
    ("expected no empty tokens", lambda: file(terms=["a", "b", ""])),
    ("'terms': the text is not UTF-8", lambda: file(terms=["a", "b", b"\xff"])),
    ("expected words without spaces", lambda: file(token=r"[\x{20}-\x{7a}]{1,}")),
    ("no output of the graph that lists terms", lambda: file([], output="row")),
    ("no output of the graph that lists terms", lambda: file([], output="count")),
    (
        "a function for lists as the reader",
        lambda: file([helper.make_node("Identity", ["column"], ["y"], "the_node")]),
    ),
    (
        "expected an operator that can compute with a list",
        lambda: file([helper.make_node("Exp", ["count"], ["y"], "the_node")]),
    ),
    (
        "expected the numbers of a list of terms in input 2",
        lambda: file([node("MultiplyTerms", "row column weights rows weights bias", "y")]),
    ),
    (
        "expected the rows and columns of the same list as the numbers",
        lambda: file([node("MultiplyTerms", "column row count rows weights bias", "y")]),
    ),
    (
        "6 inputs and 1 outputs, none of them omitted",
        lambda: file([node("MultiplyTerms", "row column count rows weights", "y")]),
    ),
    (
        "finite numbers of rank 2 in input 4",
        lambda: file(constants={"weights": WEIGHTS * np.float32(np.inf)}),
    ),
    ("finite numbers of rank 1 in input 5", lambda: file(constants={"bias": WEIGHTS[:1]})),
    (
        "finite numbers of rank 1 in input 5",
        lambda: file(constants={"bias": np.array([np.nan, 0.0], np.float32)}),
    ),
    (
        "finite numbers of rank 1 in input 2",
        lambda: file(SCALE, {"w": np.array([1, np.nan, 1], np.float32)}),
    ),
    ("finite numbers of rank 1 in input 2", lambda: file(SCALE, {"w": np.array([1, 1, 1])})),
    (
        "expected the logarithm of counts",
        lambda: file(
            [
                node("ScaleTerms", "column count w", "u"),
                node("DampTerms", "u", "v"),
                node("MultiplyTerms", MULTIPLY, "y"),
            ],
            {"w": np.zeros(3, np.float32)},
        ),
    ),
    (
        "expected a positive number in input 4",
        lambda: file(
            [*NORMALIZE, node("MultiplyTerms", MULTIPLY, "y")], SMALL | {"one": np.float32(0)}
        ),
    ),
    (
        "C does not broadcast to",
        lambda: file(constants={"bias": np.ones(3, np.float32)}),
    ),
    (
        "expected later nodes for 3 columns, got nodes for 2",
        lambda: file(constants={"weights": WEIGHTS[:2]}),
    ),
]


@pytest.mark.parametrize(("reason", "make"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_the_native_engine_refuses_lists_that_it_cannot_replace(reason, make):
    with pytest.raises((errors.Unsupported, errors.FileInvalid, errors.Engine)) as caught:
        Native(make().SerializeToString())
    assert reason in str(caught.value)
