"""The function that finds the nearest rows.

ONNX Runtime runs the body of the function, and the native engine runs its own code instead.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import sidecall
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.checker import check_model
from onnx.reference import ReferenceEvaluator
from sidecall import errors
from sidecall.convert import to_graph
from sidecall.convert.graph.nearest_function import DOMAIN, nearest_function
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor, NearestNeighbors
from threadpoolctl import threadpool_limits
from two_engines import Array, Native, OnnxRuntime, Refused

RNG = np.random.default_rng(39)
ROWS = 60
# Most rows have several others at the same distance, and some are equal.
FITTED = RNG.integers(0, 4, (ROWS, 3)).astype(float)
ASKED = np.vstack(
    [
        FITTED[:20],
        RNG.integers(0, 8, (60, 3)) / 2,
        RNG.normal(size=(20, 3)),
        # From here, all distances are equal, and for the last two rows infinite.
        [[1e15, 3, 3], [-(2.0**63), 1, 1], [1e308, -1e308, 0], [-1.7e308, 1e308, 1e308]],
    ]
)
COUNTS = (1, 2, 5, 16, ROWS - 1, ROWS)


def both(model: ModelProto, inputs: dict[str, Array], rtol: float = 0.0) -> list[Array]:
    """The answers of the native engine, which must be those of ONNX Runtime."""
    data = model.SerializeToString()
    native, other = Native(data).run(inputs), OnnxRuntime(data).run(inputs)
    for ours, theirs in zip(native, other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol if ours.dtype == np.float64 else 0)
    return native


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree", "brute"])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "minkowski"])
def test_both_engines_find_the_rows_that_scikit_learn_finds(algorithm, metric):
    # The brute force of scikit-learn gives the largest number instead of an infinite distance.
    asked = ASKED[:-2] if algorithm == "brute" else ASKED
    for count in COUNTS:
        model = NearestNeighbors(
            n_neighbors=count, algorithm=algorithm, metric=metric, p=3, leaf_size=5
        ).fit(FITTED)
        proto = to_graph(model, [("X", "float64", 3)], precision="float64")
        distances, indices = both(proto, {"X": asked}, rtol=1e-12)
        # With several threads, the brute force of scikit-learn may keep others of the equally near
        # rows.
        with threadpool_limits(1), np.errstate(over="ignore"):
            expected_distances, expected = model.kneighbors(asked)
        np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)
        # scikit-learn sorts equally near rows in another order.
        np.testing.assert_array_equal(np.sort(indices), np.sort(expected))


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
def test_both_engines_find_the_rows_of_brute_force_among_distinct_distances(metric):
    fitted, asked = RNG.normal(size=(80, 4)), RNG.normal(size=(50, 4))
    model = NearestNeighbors(n_neighbors=7, algorithm="brute", metric=metric).fit(fitted)
    data = to_graph(model, [("X", "float64", 4)], precision="float64").SerializeToString()
    expected = model.kneighbors(asked)
    for engine in (Native(data), OnnxRuntime(data)):
        distances, indices = engine.run({"X": asked})
        np.testing.assert_allclose(distances, expected[0], rtol=1e-9)
        np.testing.assert_array_equal(indices, expected[1])


@pytest.mark.parametrize("algorithm", ["kd_tree", "brute"])
def test_the_answer_to_a_row_does_not_depend_on_the_others(algorithm):
    model = NearestNeighbors(n_neighbors=9, algorithm=algorithm, leaf_size=5).fit(FITTED)
    data = to_graph(model, [("X", "float64", 3)], precision="float64").SerializeToString()
    for engine in (Native(data), OnnxRuntime(data)):
        whole = engine.run({"X": ASKED[:-2]})
        for i in range(0, len(ASKED) - 2, 3):
            for together, alone in zip(whole, engine.run({"X": ASKED[i : i + 1]}), strict=True):
                np.testing.assert_array_equal(alone[0], together[i])


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(5, weights="distance"),
        KNeighborsClassifier(5, algorithm="brute"),
        LocalOutlierFactor(8, novelty=True),
    ],
    ids=["distance", "brute", "outliers"],
)
def test_models_of_neighbours_agree_on_both_engines(model, precision):
    model.fit(FITTED, RNG.integers(0, 3, ROWS))
    data = to_graph(model, [("X", "float64", 3)], precision=precision).SerializeToString()
    inputs = {"X": ASKED[:-4]}
    for ours, other in zip(Native(data).run(inputs), OnnxRuntime(data).run(inputs), strict=True):
        assert ours.dtype == other.dtype
        np.testing.assert_allclose(ours, other, rtol=1e-12 if precision == "float64" else 1e-5)


def test_the_reference_implementation_of_onnx_runs_the_function():
    model = NearestNeighbors(n_neighbors=5, algorithm="kd_tree", leaf_size=5).fit(FITTED)
    proto = to_graph(model, [("X", "float64", 3)], precision="float64")
    check_model(proto, full_check=True)
    inputs = {"X": ASKED[:30]}
    expected = ReferenceEvaluator(proto).run(None, inputs)
    for ours, theirs in zip(both(proto, inputs), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ---- The function alone ----


def call(
    k: Any = 3,
    distances: tuple[int, Any] = (TensorProto.DOUBLE, ["N", "R"]),
    ranks: tuple[int, Any] = (TensorProto.FLOAT, ["M", "R"]),
    inputs: tuple[str, ...] = ("distances", "ranks"),
    outputs: tuple[str, ...] = ("near", "rows"),
    constants: dict[str, Array] | None = None,
) -> ModelProto:
    """A model whose only node calls the function. `distances` and `ranks` are type and shape."""
    attributes = {} if k is None else {"k": k}
    node = helper.make_node("Nearest", inputs, outputs, "the_node", domain=DOMAIN, **attributes)
    types = {"distances": distances, "ranks": ranks}
    initializers = constants or {}
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(name, *types[name])
            for name in inputs
            if name in types and name not in initializers
        ],
        [
            helper.make_tensor_value_info(
                name, TensorProto.DOUBLE if name == "near" else TensorProto.INT64, ["N", None]
            )
            for name in outputs
            if name
        ],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    return helper.make_model(
        graph,
        functions=[nearest_function()],
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )


ODD = np.array([0.0, -0.0, 1.0, 1.0, 2.0, np.inf, np.inf, -np.inf, np.nan, 5e-324])


def drawn(kind: str, shape: tuple[int, int]) -> Array:
    if kind == "integers":
        return RNG.integers(0, 4, shape).astype(float)
    if kind == "equal":
        return np.full(shape, 0.5)
    return RNG.choice(ODD, shape)


@functools.cache
def engines(k: int) -> tuple[Native, OnnxRuntime]:
    data = call(k).SerializeToString()
    return Native(data), OnnxRuntime(data)


@pytest.mark.parametrize("kind", ["integers", "equal", "odd"])
@pytest.mark.parametrize("k", [1, 2, 3, 6, 7, 15, 40])
def test_both_engines_find_the_same_rows_for_all_distances_and_ranks(kind, k):
    for rows in (k + 1, k + 2, 3 * k + 5):
        for queries, ranked in ((1, 1), (9, 1), (9, 9)):
            order = np.array([RNG.permutation(rows) for _ in range(ranked)], "float32")
            any_ranks = RNG.choice(ODD, (ranked, rows)).astype("float32")
            for ranks in (order, any_ranks):
                inputs = {"distances": drawn(kind, (queries, rows)), "ranks": ranks}
                native, other = (engine.run(inputs) for engine in engines(k))
                for ours, theirs in zip(native, other, strict=True):
                    assert ours.shape == theirs.shape == (queries, k)
                    np.testing.assert_array_equal(ours.view("int64"), theirs.view("int64"))


@pytest.mark.parametrize("outputs", [("near", ""), ("", "rows")])
def test_an_output_that_nothing_reads_may_be_left_out(outputs):
    ranks = np.arange(9, dtype="float32")[None]
    model = call(outputs=outputs, constants={"ranks": ranks})
    (answer,) = both(model, {"distances": RNG.integers(0, 3, (20, 9)).astype(float)})
    assert answer.shape == (20, 3)


@pytest.mark.parametrize("queries", [20, 1, 0])
def test_constant_distances_are_computed_when_the_file_is_opened(queries):
    constants = {
        "distances": RNG.integers(0, 3, (queries, 9)).astype(float),
        "ranks": RNG.permutation(9).astype("float32")[None],
    }
    assert both(call(constants=constants), {})[1].shape == (queries, 3)


# ---- Files that contradict themselves ----


def refused(model: ModelProto) -> errors.Error:
    with pytest.raises(errors.Error) as caught:
        Native(model.SerializeToString())
    return caught.value


DOUBLE, FLOAT, INT64 = TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.INT64
FAULTS: list[tuple[str, ModelProto]] = [
    ("k: expected 1 or more, got 0", call(0)),
    ("k: expected 1 or more, got 0", call(None)),
    ("k: expected 1 or more, got -9223372036854775808", call(-(2**63))),
    ("an unexpected type", call("text")),
    ("an unexpected type", call([3])),
    ("k is 9, but there are only 9 rows", call(9, (DOUBLE, ["N", 9]), (FLOAT, [1, 9]))),
    (
        "k is 9223372036854775807, but there are only 9 rows",
        call(2**63 - 1, (DOUBLE, ["N", 9]), (FLOAT, [1, 9])),
    ),
    ("but there are only 0 rows", call(1, (DOUBLE, ["N", 0]), (FLOAT, [1, 0]))),
    ("does not compute it for float32", call(distances=(FLOAT, ["N", 9]))),
    ("does not compute it for int64", call(ranks=(INT64, [1, 9]))),
    ("does not compute it for float64", call(ranks=(DOUBLE, [1, 9]))),
    ("a rank for each distance", call(3, (DOUBLE, ["N", 9]), (FLOAT, [1, 8]))),
    ("a rank for each distance", call(3, (DOUBLE, [5, 9]), (FLOAT, [4, 9]))),
    ("a rank for each distance", call(3, (DOUBLE, [5, 9]), (FLOAT, [0, 9]))),
    ("a rank for each distance", call(3, (DOUBLE, ["N", 9]), (FLOAT, [9]))),
    ("a rank for each distance", call(3, (DOUBLE, [9]), (FLOAT, [1, 9]))),
    ("a rank for each distance", call(3, (DOUBLE, ["N", 1, 9]), (FLOAT, [1, 9]))),
    ("expected distances and ranks, got 1 inputs", call(inputs=("distances",))),
    ("expected distances and ranks, got 3 inputs", call(inputs=("distances", "ranks", "ranks"))),
    ("expected an input at position 1", call(inputs=("distances", ""))),
    ("expected an input at position 0", call(inputs=("", "ranks"))),
    ("expected at most 2 outputs, got 3", call(outputs=("near", "rows", "more"))),
]


@pytest.mark.parametrize(("reason", "model"), FAULTS, ids=[f"{i}" for i in range(len(FAULTS))])
def test_hostile_calls_are_refused_at_open(reason, model):
    error = refused(model)
    assert reason in str(error) and "node 'the_node'" in str(error)


def test_as_many_rows_as_neighbours_are_refused_by_both_engines():
    inputs = {"distances": np.zeros((2, 3)), "ranks": np.zeros((1, 3), "float32")}
    native, other = engines(3)
    with pytest.raises(errors.Engine, match="k is 3, but there are only 3 rows"):
        native.run(inputs)
    with pytest.raises(Refused):
        other.run(inputs)


def test_a_function_that_differs_is_refused():
    model = call()
    model.functions[0].node.pop()
    assert "does not know the model's function" in str(refused(model))
    model = call()
    model.functions[0].opset_import[0].version = 21
    assert "does not know the model's function" in str(refused(model))


def plain(op: str, inputs: str, output: str) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output])


def test_nodes_behind_the_distances_are_not_fused_with_the_function():
    """The counts of terms, by another function, are fused with such nodes."""
    model = call(inputs=("distances",), outputs=("near",))
    model.graph.node.append(plain("Mul", "near weights", "product"))
    model.graph.output[0].name = "product"
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3), "weights"))
    assert "expected distances and ranks" in str(refused(model))


def test_a_long_run_ends_at_its_deadline():
    data = call(50).SerializeToString()
    model = sidecall.open(data, engine="native", verify="off")
    ranks = np.arange(100, dtype="float32")[None]
    with pytest.raises(errors.Timeout):
        model.run({"distances": np.zeros((100_000, 100)), "ranks": ranks}, timeout=0.01)
    rows = np.asarray(model.run({"distances": np.zeros((1, 100)), "ranks": ranks})["rows"])
    assert np.array_equal(np.sort(rows), np.arange(50)[None])
