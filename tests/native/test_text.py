"""Functions that count the terms of texts.

ONNX Runtime runs the bodies of the functions, and the native engine runs its own code instead.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from onnx import ModelProto, NodeProto, StringStringEntryProto, TensorProto, helper
from sidecall import errors
from sidecall.convert import to_graph
from sidecall.convert.graph import text_functions
from sidecall.convert.graph.text_functions import DOMAIN, counting_function, listing_function
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from two_engines import Array, Native, OnnxRuntime, Refused, tensor

TEXTS = [
    "The quick brown Fox, jumps over_the lazy dog's 3 times",
    "ÄPFEL und Birnen; Straße É é ñ İstanbul KELVIN \u212a",
    "",
    "!!! ?",
    "a bb ccc dddd  two   spaces\n\nnew line\tTab \u2003\u00a0end ",
    "中文 字符 test 1² x₂ ½",
    "quick fox quick fox the the the",
    "Éclair éclair eclair e\u0301clair \u0301 A\u030a",
    "ΟΔΟΣ οδος σς Σ",
    "🙂🙂 a🙂b \U0001f1e9\U0001f1ea \U0010ffff \ufdd0 \ufdd2 \uffff",
    "ﬃ ﬀ ǅ Ǆ ǆ \u210c ① Ⅷ 한글 각",
    " leading",
    "x",
    "long " * 200 + "W" * 1000 + " quick fox",
    "\u0100" * 1000,
]
# The lower case of a capital sigma depends on its neighbours, which no graph imitates.
WITHOUT_SIGMA = [text for text in TEXTS if "Σ" not in text]

MODELS = [
    CountVectorizer(),
    CountVectorizer(lowercase=False),
    CountVectorizer(binary=True, ngram_range=(1, 4)),
    CountVectorizer(strip_accents="unicode"),
    CountVectorizer(strip_accents="ascii", ngram_range=(2, 2)),
    CountVectorizer(token_pattern=r"\S+"),
    CountVectorizer(token_pattern=r"\S{3,}", lowercase=False),
    CountVectorizer(token_pattern=r"[a-z]{3,}"),
    CountVectorizer(token_pattern=r"[A-Za-z_-]+", lowercase=False),
    CountVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 3)),
    CountVectorizer(ngram_range=(1, 2), stop_words=["the", "two"]),
    CountVectorizer(ngram_range=(1, 2), stop_words=["the", "Fox"], lowercase=False),
    CountVectorizer(ngram_range=(2, 3), stop_words="english", strip_accents="unicode"),
    CountVectorizer(analyzer="char", ngram_range=(1, 3)),
    CountVectorizer(analyzer="char", ngram_range=(2, 5), lowercase=False),
    CountVectorizer(analyzer="char", strip_accents="ascii"),
    CountVectorizer(analyzer="char", strip_accents="unicode"),
]


@functools.cache
def exported(model: CountVectorizer) -> ModelProto:
    texts = [text for text in TEXTS if len(text) < 1000]
    if model.lowercase:
        texts = [text for text in texts if text in WITHOUT_SIGMA]
    return to_graph(model.fit(texts), [("text", "string", 1)], precision="float32")


@functools.cache
def on_native(model: CountVectorizer) -> Native:
    return Native(exported(model).SerializeToString())


def column(texts: list[str]) -> dict[str, Array]:
    return {"text": np.array(texts, object).reshape(-1, 1)}


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_both_engines_count_what_scikit_learn_counts(model):
    onnxruntime = OnnxRuntime(exported(model).SerializeToString())
    texts = WITHOUT_SIGMA if model.lowercase else TEXTS
    expected = model.transform(texts).toarray().astype(np.float32)
    assert expected.any()
    (native,) = on_native(model).run(column(texts))
    (other,) = onnxruntime.run(column(texts))
    assert np.array_equal(native, expected) and np.array_equal(other, expected)
    for text in texts[:12]:
        (native,) = on_native(model).run(column([text]))
        assert np.array_equal(native, expected[texts.index(text)][None])


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_capital_sigma_counts_alike_on_both_engines(model):
    (native,) = on_native(model).run(column(TEXTS[8:9]))
    (other,) = OnnxRuntime(exported(model).SerializeToString()).run(column(TEXTS[8:9]))
    assert np.array_equal(native, other)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[5], MODELS[13]], ids=str)
def test_very_long_texts_count_as_in_scikit_learn(model):
    exported(model)
    words = ["quick", "fox", "dog", ""]
    texts = [" ".join(words * 10_000), "quick" * 40_000, "É\u0100" * 10_000, "  " * 50_000]
    (native,) = on_native(model).run(column(texts))
    assert np.array_equal(native, model.transform(texts).toarray())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_random_texts_count_as_in_scikit_learn(model):
    exported(model)
    rng = np.random.default_rng(36)
    words = [word for text in WITHOUT_SIGMA[:-2] for word in text.split()]
    spaces = [" ", "  ", "\n", "\t ", "-", "_", "\u2003", "\u00a0 ", "", "."]
    texts = []
    for _ in range(60):
        pieces: list[str] = []
        for _ in range(rng.integers(0, 12)):
            code = int(rng.integers(1, 0xD800 if rng.random() < 0.9 else 0x3000))
            pieces += [words[rng.integers(len(words))], spaces[rng.integers(len(spaces))]]
            if rng.random() < 0.2 and code != 0x3A3:
                pieces.append(chr(code))
        texts.append("".join(pieces))
    (native,) = on_native(model).run(column(texts))
    assert np.array_equal(native, model.transform(texts).toarray())


def test_a_file_with_tree_operators_of_another_version_runs_on_both_engines():
    model = make_pipeline(
        TfidfVectorizer(stop_words=["the"], ngram_range=(1, 2)),
        RandomForestRegressor(n_estimators=3, random_state=0),
    ).fit(WITHOUT_SIGMA[:9], np.arange(9.0))
    proto = to_graph(model, [("text", "string", 1)])
    assert {o.domain: o.version for o in proto.functions[0].opset_import}["ai.onnx.ml"] == 5
    data = proto.SerializeToString()
    (native,), (other,) = (
        engine.run(column(WITHOUT_SIGMA)) for engine in (Native(data), OnnxRuntime(data))
    )
    assert np.allclose(native, other, rtol=1e-12, atol=0)


@pytest.mark.parametrize("unit", ["words", "kept_words", "characters"])
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("version", [3, 5])
def test_the_engine_knows_every_function_that_the_converter_writes(unit, replaces, version):
    function = counting_function(unit, replaces)
    attributes = MINIMAL | {name: ATTRIBUTES[name] for name in function.attribute}
    Native(call(function, attributes, version).SerializeToString())


def test_the_engine_knows_no_function_that_the_converter_does_not_write():
    functions = [
        text_functions.damping_function(),
        text_functions.scaling_function(),
        text_functions.normalizing_function(),
        text_functions.multiplying_function(),
    ]
    for unit in ("words", "kept_words", "characters"):
        for replaces in (False, True):
            functions += [counting_function(unit, replaces), listing_function(unit, replaces)]
    copies = [in_version(each, version) for each in functions for version in (3, 5)]
    written = {hashlib.sha256(each.SerializeToString()).hexdigest() for each in copies}
    source = Path(__file__).resolve().parents[2] / "engines/native/text/functions.cpp"
    known = re.findall(r'"([0-9a-f]{64})"', source.read_text(encoding="utf-8"))
    assert sorted(known) == sorted(written)


# ---- Files that contradict themselves ----

MINIMAL: dict[str, Any] = {
    "gram_tokens": ["a", "b", "a", "b"],
    "gram_starts": [0, 2],
    "gram_columns": [0, 1, 2],
    "shortest_gram": 1,
    "longest_gram": 2,
}
ATTRIBUTES: dict[str, Any] = {
    **MINIMAL,
    "token": "[a-z]{1,}",
    "stop_words": ["the"],
    "spaces": [" ", "\n"],
    "special": r"[\x{c4}]",
    "ascii_case": "LOWER",
    "characters": [chr(c) for c in range(65, 91)] + ["Ä"],
    "replacements": [chr(c + 32) for c in range(65, 91)] + ["ae"],
    "otherwise": "\ufdd2",
}


def in_version(function: Any, version: int) -> Any:
    """The function with this version of ai.onnx.ml, if it uses operators of ai.onnx.ml."""
    copy = type(function)()
    copy.CopyFrom(function)
    for opset in copy.opset_import:
        if opset.domain == "ai.onnx.ml":
            opset.version = version
    return copy


def call(function: Any, attributes: dict[str, Any], version: int = 3) -> ModelProto:
    """A model whose only node calls a function of it."""
    node = helper.make_node(
        function.name,
        ["text"],
        ["y"],
        "the_node",
        domain=DOMAIN,
        **{name: value for name, value in attributes.items() if value is not None},
    )
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])],
    )
    imports = {"": 20, "ai.onnx.ml": version, "com.microsoft": 1, DOMAIN: 1}
    return helper.make_model(
        graph,
        functions=[in_version(function, version)],
        opset_imports=[helper.make_opsetid(*item) for item in imports.items()],
        ir_version=9,
    )


def kept_words(**changes: Any) -> ModelProto:
    """A model with a function that has every attribute but `spaces`; None leaves one out."""
    attributes = {**ATTRIBUTES, **changes}
    del attributes["spaces"]
    return call(counting_function("kept_words", True), attributes)


def characters(**changes: Any) -> ModelProto:
    used = {**MINIMAL, "spaces": ATTRIBUTES["spaces"], **changes}
    return call(counting_function("characters", False), used)


def refused(model: ModelProto) -> errors.Error:
    with pytest.raises(errors.Error) as caught:
        Native(model.SerializeToString())
    return caught.value


FAULTS: list[tuple[str, ModelProto]] = [
    ("expected attribute 'token', got none", kept_words(token=None)),
    ("expected attribute 'gram_tokens', got none", kept_words(gram_tokens=None)),
    ("expected attribute 'longest_gram', got none", kept_words(longest_gram=None)),
    ("expected attribute 'stop_words', got none", kept_words(stop_words=None)),
    ("expected attribute 'otherwise', got none", kept_words(otherwise=None)),
    ("expected attribute 'spaces', got none", characters(spaces=None)),
    (
        "attribute 'gram_tokens': the text is not UTF-8",
        kept_words(gram_tokens=["a", b"\xff", "a", "b"]),
    ),
    ("attribute 'stop_words': the text is not UTF-8", kept_words(stop_words=[b"\xed\xa0\x80"])),
    ("attribute 'replacements': the text is not UTF-8", kept_words(replacements=[b"\xc3"] * 27)),
    ("an unexpected type", kept_words(gram_starts="text")),
    ("an unexpected type", kept_words(token=["[a-z]+"])),
    ("an unexpected type", kept_words(longest_gram=[2])),
    ("shortest_gram <= longest_gram", kept_words(longest_gram=0)),
    ("shortest_gram <= longest_gram", kept_words(shortest_gram=0)),
    ("shortest_gram <= longest_gram", kept_words(longest_gram=3)),
    ("shortest_gram <= longest_gram", kept_words(longest_gram=2**63 - 1)),
    ("'gram_starts': expected positions", kept_words(gram_starts=[0, 5])),
    ("'gram_starts': expected positions", kept_words(gram_starts=[0, 1])),
    ("'gram_starts': expected positions", kept_words(gram_starts=[1, 2])),
    ("'gram_starts': expected positions", kept_words(gram_starts=[0, -2])),
    ("'gram_starts': expected positions", kept_words(gram_starts=[2, 0])),
    ("'gram_starts': expected positions", kept_words(gram_starts=[0, 2**62])),
    ("expected columns below", kept_words(gram_columns=[0, 1, 3])),
    ("expected columns below", kept_words(gram_columns=[0, -1, 2])),
    ("expected columns below", kept_words(gram_columns=[0, 1, 2**63 - 1])),
    ("one column for each sequence, got fewer", kept_words(gram_columns=[0, 1])),
    ("one column for each sequence, got more", kept_words(gram_columns=[0, 1, 2, 3])),
    ("each sequence of tokens once", kept_words(gram_tokens=["a", "a", "a", "b"])),
    ("expected no empty tokens", kept_words(gram_tokens=["a", "", "a", "b"])),
    ("expected stop words that no sequence", kept_words(stop_words=["b"])),
    ("as many replacements as characters", kept_words(replacements=["a"])),
    ("'characters': expected single characters", kept_words(characters=["ab"] * 27)),
    ("'otherwise': expected no text or U+FDD2", kept_words(otherwise="?")),
    ("'ascii_case': expected LOWER or NONE", kept_words(ascii_case="UPPER")),
    ("to be replaced as 'ascii_case' says", kept_words(ascii_case="NONE")),
    ("to be replaced as 'ascii_case' says", kept_words(otherwise="")),
    ("all characters that change", kept_words(special="[a]")),
    ("'spaces': expected single characters", characters(spaces=["  "])),
    *(
        ("this engine reads only character classes", kept_words(token=token))
        for token in (
            "",
            "[",
            "[]",
            "[]+",
            "[^]+",
            "[a",
            "[a-z]",
            "[a-z]*",
            "[a-z]{2}",
            "[a-z]{0,}",
            "[a-z]{02,}",
            "[a-z]{1001,}",
            "[a-z]{99999999999,}",
            "[a-z]{1,}x",
            "[z-a]+",
            "[a-c-e]+",
            r"[\x{110000}]+",
            r"[\x{}]+",
            r"[\x{61]+",
            r"[\x{ffffffffff}]+",
            r"[\w]+",
            "[[:alpha:]]+",
            "(a)+",
            "[é]+",
            "[a-]b]+",
        )
    ),
]


@pytest.mark.parametrize(("reason", "model"), FAULTS, ids=[f"{i}" for i in range(len(FAULTS))])
def test_hostile_attributes_are_refused_at_open(reason, model):
    error = refused(model)
    assert isinstance(error, errors.Unsupported | errors.FileInvalid)
    assert reason in str(error) and "node 'the_node'" in str(error)


def test_the_minimal_model_counts_alike_on_both_engines():
    texts = np.array(["a b", "A  B a", "Äpfel", "the a the b", "b a the ", ""], object)
    for model in (kept_words(), characters(), kept_words(token="[a-]+"), kept_words(token="[^b]+")):
        data = model.SerializeToString()
        (native,), (other,) = (e.run({"text": texts}) for e in (Native(data), OnnxRuntime(data)))
        assert np.array_equal(native, other)


def edited(change: Callable[[ModelProto], object]) -> ModelProto:
    model = kept_words()
    change(model)
    return model


def add_entry(model: ModelProto) -> None:
    entry = StringStringEntryProto(key="key", value="value")
    model.functions[0].metadata_props.append(entry)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("does not know the model's function", add_entry),
        ("does not know the model's function", lambda m: m.functions[0].node.pop()),
        (
            "does not know the model's function",
            lambda m: setattr(m.functions[0].opset_import[0], "version", 21),
        ),
        (
            "does not have the operator",
            lambda m: setattr(m.functions[0], "name", "another"),
        ),
        (
            "expected a function without overload",
            lambda m: setattr(m.functions[0], "overload", "o"),
        ),
        ("expected one definition, got more", lambda m: m.functions.append(m.functions[0])),
        ("expected an import of its operator set", lambda m: m.opset_import.pop()),
    ],
)
def test_functions_that_the_engine_does_not_know_are_refused(reason, change):
    assert reason in str(refused(edited(change)))


def test_a_function_with_the_name_of_an_operator_replaces_the_operator():
    function = helper.make_function(
        "",
        "Relu",
        ["x"],
        ["y"],
        [helper.make_node("Neg", ["x"], ["y"])],
        [helper.make_opsetid("", 20)],
    )
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
    )
    model = helper.make_model(
        graph, functions=[function], opset_imports=[helper.make_opsetid("", 20)], ir_version=9
    )
    assert "does not know the model's function" in str(refused(model))


def test_texts_of_another_rank_or_type_are_refused():
    matrix = edited(lambda m: m.graph.input[0].type.tensor_type.shape.dim.add(dim_value=2))
    assert "expected texts of rank 1, got rank 2" in str(refused(matrix))
    numbers = edited(
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64)
    )
    assert "does not compute it for int64" in str(refused(numbers))


def test_bytes_that_are_not_utf8_are_refused_by_both_engines():
    def make_constant(model: ModelProto) -> None:
        del model.graph.input[:]
        text = helper.make_tensor("text", TensorProto.STRING, [1], [b"a \xff"])
        model.graph.initializer.append(text)

    model = edited(make_constant)
    assert "the text is not UTF-8" in str(refused(model))
    with pytest.raises(Refused, match="invalid utf8"):
        OnnxRuntime(model.SerializeToString()).run({})


def test_a_long_run_ends_at_its_deadline():
    model = sidecall.open(kept_words().SerializeToString(), engine="native", verify="off")
    with pytest.raises(errors.Timeout):
        model.run({"text": np.array(["a b " * 30_000_000], object)}, timeout=0.01)
    assert model.run({"text": np.array(["a b"], object)})["y"].tolist() == [[1, 1, 1]]


# ---- Nodes that are fused with the counts ----

CLASSES = np.arange(len(WITHOUT_SIGMA)) % 3
FUSED = [
    make_pipeline(TfidfVectorizer(), LogisticRegression()),
    make_pipeline(TfidfVectorizer(ngram_range=(1, 2), norm=None), LogisticRegression()),
    make_pipeline(TfidfVectorizer(use_idf=False, norm="l1"), LogisticRegression()),
    make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression()),
    make_pipeline(CountVectorizer(binary=True), LogisticRegression()),
    make_pipeline(TfidfVectorizer(analyzer="char"), SGDClassifier(random_state=0)),
    make_pipeline(CountVectorizer(), MultinomialNB()),
    make_pipeline(TfidfVectorizer(stop_words=["the"], ngram_range=(1, 2)), Ridge()),
    make_pipeline(CountVectorizer(), Normalizer()),
    make_pipeline(TfidfVectorizer(), SelectKBest(k=5), LogisticRegression()),
]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("model", FUSED, ids=str)
def test_models_behind_counts_agree_on_both_engines(model, precision):
    model.fit(WITHOUT_SIGMA, CLASSES)
    proto = to_graph(model, [("text", "string", 1)], precision=precision)
    data = proto.SerializeToString()
    native, onnxruntime = Native(data), OnnxRuntime(data)
    bound = 1e-12 if precision == "float64" else 2e-5
    for texts in (WITHOUT_SIGMA, WITHOUT_SIGMA[:1], WITHOUT_SIGMA[2:3]):
        answers = zip(native.run(column(texts)), onnxruntime.run(column(texts)), strict=True)
        for ours, other in answers:
            assert ours.dtype == other.dtype and ours.shape == other.shape
            assert np.allclose(ours, other, rtol=bound, atol=bound)


def with_nodes(
    nodes: list[NodeProto], constants: dict[str, Any], outputs: tuple[str, ...] = ("z",)
) -> ModelProto:
    """The counts `y` of three sequences, and the nodes that read them."""
    model = kept_words()
    model.graph.node.extend(nodes)
    for name, value in constants.items():
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        model.graph.initializer.append(tensor(array, name))
    del model.graph.output[:]
    for name in outputs:
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", None])
        model.graph.output.append(info)
    return model


def plain(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], f"make_{output}", **attributes)


def norm(least: float = 1e-6, one: float = 1.0, axis: int = 1) -> tuple[list[NodeProto], Any]:
    nodes = [
        plain("Mul", "y y", "squares"),
        plain("ReduceSum", "squares axes", "sum"),
        plain("Sqrt", "sum", "root"),
        plain("Less", "root least", "is_small"),
        plain("Where", "is_small one root", "length"),
        plain("Div", "y length", "z"),
    ]
    return nodes, {"axes": np.array([axis]), "least": least, "one": one}


MATRIX = [[0.5, -1.0], [2.0, 3.0], [0.25, 7.0]]


def scaled_norm(
    first: list[float], second: list[float], product: NodeProto | None = None
) -> tuple[list[NodeProto], Any]:
    """The norm of counts that were multiplied twice, which can overflow and then give NaN."""
    nodes, constants = norm()
    for node in nodes:
        node.input[:] = ["v2" if name == "y" else name for name in node.input]
    if product is not None:
        nodes[-1].name, nodes[-1].output[:] = "make_u", ["u"]
        nodes.append(product)
        constants["m"] = MATRIX
    nodes = [plain("Mul", "y w1", "v1"), plain("Mul", "v1 w2", "v2"), *nodes]
    return nodes, constants | {"w1": first, "w2": second}


SAME_ANSWER: dict[str, ModelProto] = {
    "weights": with_nodes([plain("Mul", "y w", "z")], {"w": [[2.0, 0.1, -3.0]]}),
    "weights before": with_nodes([plain("Mul", "w y", "z")], {"w": [2.0, 0.1, -3.0]}),
    "one weight": with_nodes([plain("Mul", "y w", "z")], {"w": [0.1]}),
    "infinite weights": with_nodes([plain("Mul", "y w", "z")], {"w": [np.inf, np.nan, 1.0]}),
    "weights by row": with_nodes([plain("Mul", "y w", "z")], {"w": [[2.0], [3.0], [4.0], [5.0]]}),
    "product": with_nodes([plain("MatMul", "y w", "z")], {"w": MATRIX}),
    "infinite product": with_nodes([plain("MatMul", "y w", "z")], {"w": [[np.inf]] * 3}),
    "signs": with_nodes(
        [plain("Mul", "y w", "v"), plain("Sign", "v", "u"), plain("MatMul", "u m", "z")],
        {"w": [2.0, -3.0, 0.0], "m": MATRIX},
    ),
    "vector": with_nodes([plain("Gemm", "y w b", "z")], {"w": MATRIX, "b": [1.0, -2.0]}),
    "no bias": with_nodes([plain("Gemm", "y w", "z")], {"w": MATRIX}),
    "one bias": with_nodes([plain("Gemm", "y w b", "z")], {"w": MATRIX, "b": [[1.5]]}),
    "transposed": with_nodes(
        [plain("Gemm", "y w b", "z", transB=1)], {"w": np.transpose(MATRIX), "b": [1.0, -2.0]}
    ),
    "scaled": with_nodes([plain("Gemm", "y w", "z", alpha=0.5)], {"w": MATRIX}),
    "no columns": with_nodes([plain("MatMul", "y w", "z")], {"w": np.zeros((3, 0))}),
    "norm": with_nodes(*norm()),
    "large least norm": with_nodes(*norm(least=1.5, one=4.0)),
    "norm that may be zero": with_nodes(*norm(least=0.0)),
    "norm replaced by zero": with_nodes(*norm(least=1.0, one=0.0)),
    "norm by column": with_nodes(*norm(axis=0)),
    "norm that is NaN": with_nodes(*scaled_norm([3e38, 1.0, 1.0], [0.0, 1.0, 1.0])),
    "norm that is infinite": with_nodes(*scaled_norm([3e38, 1.0, 1.0], [1.0, 2.0, 3.0])),
    "product behind a norm that is NaN": with_nodes(
        *scaled_norm([3e38, 1.0, 1.0], [0.0, 1.0, 1.0], plain("MatMul", "u m", "z")),
    ),
    "two readers": with_nodes(
        [
            plain("Mul", "y w", "v"),
            plain("MatMul", "v m", "a"),
            plain("MatMul", "v m", "b"),
            plain("Sub", "a b", "z"),
        ],
        {"w": [1.0, 2.0, 3.0], "m": MATRIX},
    ),
    "inner outputs": with_nodes(
        [plain("Mul", "y w", "v"), plain("MatMul", "v m", "z")],
        {"w": [1.0, 2.0, 3.0], "m": MATRIX},
        ("y", "v", "z"),
    ),
    "product of products": with_nodes(
        [plain("MatMul", "y m", "v"), plain("MatMul", "v n", "z")],
        {"m": MATRIX, "n": [[1.0], [2.0]]},
    ),
    "product with itself": with_nodes([plain("Mul", "y y", "z")], {}),
}


@pytest.mark.parametrize("model", SAME_ANSWER.values(), ids=SAME_ANSWER)
def test_nodes_behind_counts_answer_alike_on_both_engines(model):
    data = model.SerializeToString()
    texts = {"text": np.array(["a b", "A  B a", "", "b a the a a"], object)}
    for ours, other in zip(Native(data).run(texts), OnnxRuntime(data).run(texts), strict=True):
        assert ours.shape == other.shape
        assert np.allclose(ours, other, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "model",
    [
        with_nodes([plain("Mul", "y w", "z")], {"w": [1.0, 2.0]}),
        with_nodes([plain("MatMul", "y w", "z")], {"w": MATRIX[:2]}),
        with_nodes([plain("Gemm", "y w", "z", transB=1)], {"w": MATRIX}),
        with_nodes([plain("Gemm", "y w b", "z")], {"w": MATRIX, "b": [1.0, 2.0, 3.0]}),
        with_nodes([plain("Gemm", "y w", "z", alpha="text")], {"w": MATRIX}),
        with_nodes([plain("Cast", "y", "z", to=10**12)], {}),
    ],
)
def test_nodes_that_do_not_fit_the_counts_are_refused_by_both_engines(model):
    refused(model)
    with pytest.raises(Refused):
        OnnxRuntime(model.SerializeToString()).run({"text": np.array(["a"], object)})
