"""Files that contradict themselves, or demand too much, are refused with a typed error at open."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import sidecall
from onnx import ModelProto, NodeProto, TensorProto, helper
from operator_cases import Case, Known
from refusals_trees import STUMP, votes
from refusals_trees import stump as new_stump
from sidecall import errors
from two_engines import ML, NODE, Array, Native, make_node, model_of

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
HUGE = 2**60
X = np.ones((2, 3), np.float32)


def refused(model: ModelProto | bytes) -> errors.Error:
    """The error with which the model is refused when it is opened."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(errors.Error) as caught:
        Native(data)
    return caught.value


def graph(
    nodes: Sequence[NodeProto],
    output: str = "y",
    constants: dict[str, Array] | None = None,
    kind: int = FLOAT,
) -> ModelProto:
    return model_of(nodes, {"x": (FLOAT, ["rows", 3])}, {output: kind}, constants)


# ---- Trees ----

REGRESSOR: dict[str, Any] = {**STUMP, **votes("target", 0), "n_targets": 1}
CLASSIFIER: dict[str, Any] = {**STUMP, **votes("class", 0), "classlabels_int64s": [5, 7]}
TREES = {
    "TreeEnsembleRegressor": (3, REGRESSOR),
    "TreeEnsembleClassifier": (3, CLASSIFIER),
    "TreeEnsemble": (5, new_stump),
}


def tree(op: str, **changes: Any) -> ModelProto:
    version, attributes = TREES[op]
    types = (INT64, FLOAT) if op.endswith("Classifier") else (FLOAT,)
    return Case(op, [X], {**attributes, **changes}, types, ML).model(version)


OLD_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("node 9 of tree 0 does not exist", {"nodes_truenodeids": [9, 0, 0]}),
    ("node -1 of tree 0 does not exist", {"nodes_falsenodeids": [-1, 0, 0]}),
    ("does not exist", {"nodes_truenodeids": [2**62, 0, 0]}),
    ("expected one parent for each node", {"nodes_truenodeids": [0, 0, 0]}),
    ("expected one parent for each node", {"nodes_falsenodeids": [1, 0, 0]}),
    ("nodes_featureids: expected 0 to 2147483646, got -1", {"nodes_featureids": [-1, 0, 0]}),
    ("nodes_featureids: expected 0 to 2147483646", {"nodes_featureids": [2**32, 0, 0]}),
    ("got 2147483647", {"nodes_featureids": [2**31 - 1, 0, 0]}),
    ("nodes_modes: expected 3 values, got 2", {"nodes_modes": ["BRANCH_LEQ", "LEAF"]}),
    ("nodes_values: expected 3 values, got 4", {"nodes_values": [0.5] * 4}),
    ("nodes_featureids: expected 3 values, got 0", {"nodes_featureids": []}),
    ("nodes_truenodeids: expected 3 values", {"nodes_truenodeids": [1]}),
    ("nodes_falsenodeids: expected 3 values", {"nodes_falsenodeids": [2]}),
    ("nodes_nodeids: expected 3 values", {"nodes_nodeids": [0, 1]}),
    ("tracks_true: expected 3 values", {"nodes_missing_value_tracks_true": [1]}),
    ("occurs twice", {"nodes_nodeids": [0, 1, 1]}),
    ("node 7 of tree 0 occurs twice", {"nodes_nodeids": [0, 7, 7]}),
    ("of tree 0 does not exist", {"nodes_nodeids": [0, 7, 8]}),
    ("node 2 of tree 0 does not exist", {"nodes_treeids": [0, 0, -1]}),
    ("at least 1 node", dict.fromkeys(STUMP)),
    ("base_values: expected one value", {"base_values": [1.0, 2.0, 3.0]}),
    ("has an unexpected type", {"nodes_treeids": ["a", "b", "c"]}),
    ("has an unexpected type", {"nodes_modes": [1, 2, 3]}),
]
VOTE_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("targets, got target -1", {"_ids": [-1, 0]}),
    ("targets, got target 7", {"_ids": [7, 0]}),
    ("targets, got target 1099511627776", {"_ids": [2**40, 0]}),
    ("node 9 of tree 0 does not exist", {"_nodeids": [9, 2]}),
    ("node 1 of tree 5 does not exist", {"_treeids": [5, 0]}),
    ("expected 2 values, got 1", {"_ids": [0]}),
    ("expected 2 values, got 3", {"_weights": [1.0, 2.0, 3.0]}),
    ("expected 2 values, got 1", {"_nodeids": [1]}),
]
NEW_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("expected one of the 2 leaves, got leaf 2", {"nodes_truenodeids": [2]}),
    ("expected one of the 2 leaves, got leaf -1", {"nodes_falsenodeids": [-1]}),
    ("expected one of the 1 nodes, got node 1", {"nodes_trueleafs": [0], "nodes_truenodeids": [1]}),
    ("expected one parent for each node", {"nodes_trueleafs": [0], "nodes_truenodeids": [0]}),
    ("expected one of the 1 nodes, got node 5", {"tree_roots": [5]}),
    ("expected one of the 1 nodes, got node -1", {"tree_roots": [-1]}),
    ("expected one parent for each node", {"tree_roots": [0, 0]}),
    ("at least 1 tree", {"tree_roots": []}),
    ("nodes_featureids: expected 0 to 2147483646, got -1", {"nodes_featureids": [-1]}),
    ("got 9223372036854775807", {"nodes_featureids": [2**63 - 1]}),
    ("nodes_splits: expected 1 values, got 2", {"nodes_splits": np.ones(2, np.float32)}),
    ("nodes_modes: expected uint8", {"nodes_modes": np.ones(1, np.int32)}),
    ("nodes_truenodeids: expected 1 values, got 2", {"nodes_truenodeids": [0, 1]}),
    ("nodes_falseleafs: expected 1 values", {"nodes_falseleafs": [1, 1]}),
    ("nodes_featureids: expected 1 values", {"nodes_featureids": [0, 0]}),
    ("expected one of the 1 targets, got target 1", {"leaf_targetids": [0, 1]}),
    ("expected one of the 1 targets, got target -1", {"leaf_targetids": [0, -1]}),
    ("leaf_weights: expected 2 values, got 1", {"leaf_weights": np.ones(1, np.float32)}),
    ("expected 1 to 1048576 targets, got 0", {"n_targets": 0}),
    ("expected 1 to 1048576 targets, got -1", {"n_targets": -1}),
    ("expected 1 to 1048576 targets", {"n_targets": 2**62}),
    ("leaf_weights: expected a tensor, got none", {"leaf_weights": None}),
    ("nodes_modes: expected a tensor, got none", {"nodes_modes": None}),
    ("expected a tensor of float32 or float64, got int64", {"leaf_weights": np.ones(2, np.int64)}),
]


@pytest.mark.parametrize("op", ["TreeEnsembleRegressor", "TreeEnsembleClassifier"])
@pytest.mark.parametrize(("words", "changes"), OLD_FAULTS)
def test_a_tree_that_contradicts_itself_is_refused(
    op: str, words: str, changes: dict[str, Any]
) -> None:
    error = refused(tree(op, **changes))
    assert isinstance(error, errors.FileInvalid)
    assert words in str(error)
    assert NODE in str(error)


@pytest.mark.parametrize(("words", "changes"), VOTE_FAULTS)
@pytest.mark.parametrize(
    ("op", "target"), [("TreeEnsembleRegressor", "target"), ("TreeEnsembleClassifier", "class")]
)
def test_leaves_that_contradict_the_tree_are_refused(
    op: str, target: str, words: str, changes: dict[str, Any]
) -> None:
    error = refused(tree(op, **{f"{target}{name}": each for name, each in changes.items()}))
    assert isinstance(error, errors.FileInvalid)
    assert words in str(error)


@pytest.mark.parametrize(("words", "changes"), NEW_FAULTS)
def test_a_tree_ensemble_that_contradicts_itself_is_refused(
    words: str, changes: dict[str, Any]
) -> None:
    error = refused(tree("TreeEnsemble", **changes))
    assert isinstance(error, errors.FileInvalid)
    assert words in str(error)
    assert NODE in str(error)


def test_a_cycle_of_two_nodes_is_refused() -> None:
    cycle = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 2, 0],
        "target_nodeids": [2, 2],
    }
    assert isinstance(refused(tree("TreeEnsembleRegressor", **cycle)), errors.FileInvalid)


def test_labels_of_both_kinds_are_refused() -> None:
    labels = {"classlabels_int64s": [1, 2], "classlabels_strings": ["a"]}
    error = refused(tree("TreeEnsembleClassifier", **labels))
    assert isinstance(error, errors.FileInvalid)
    assert "expected either classlabels_int64s or classlabels_strings" in str(error)


def test_many_targets_without_leaves_take_no_time() -> None:
    count = 20_000
    leaves = {
        **dict.fromkeys(("nodes_nodeids", "nodes_featureids", "nodes_truenodeids"), [0] * count),
        "nodes_treeids": list(range(count)),
        "nodes_falsenodeids": [0] * count,
        "nodes_values": [0.0] * count,
        "nodes_modes": ["LEAF"] * count,
        "target_treeids": list(range(count)),
        "target_nodeids": [0] * count,
        "target_ids": [0] * count,
        "target_weights": [1.0] * count,
        "n_targets": 2**20,
        "base_values": np.zeros(2**20, np.float32).tolist(),
    }
    assert isinstance(refused(tree("TreeEnsembleRegressor", **leaves)), errors.Unsupported)


@pytest.mark.parametrize("side", ["nodes_truenodeids", "nodes_falsenodeids"])
def test_a_tree_that_is_100_000_nodes_deep_answers(side: str) -> None:
    depth = 100_000
    other = {"nodes_truenodeids", "nodes_falsenodeids"} - {side}
    count = 2 * depth + 1
    nodes: dict[str, Any] = {
        "nodes_treeids": [0] * count,
        "nodes_nodeids": list(range(count)),
        "nodes_featureids": [0] * count,
        "nodes_values": [float(i) for i in range(depth)] + [0.0] * (depth + 1),
        "nodes_modes": ["BRANCH_GT"] * depth + ["LEAF"] * (depth + 1),
        side: [*range(1, depth), count - 1] + [0] * (depth + 1),
        other.pop(): [*range(depth, 2 * depth)] + [0] * (depth + 1),
        "target_treeids": [0] * (depth + 1),
        "target_nodeids": list(range(depth, count)),
        "target_ids": [0] * (depth + 1),
        "target_weights": [float(i) for i in range(depth + 1)],
        "n_targets": 1,
    }
    model = Case("TreeEnsembleRegressor", [X], nodes, domain=ML).model(3)
    x = np.array([[-1, 0, 0], [500.5, 0, 0], [1e9, 0, 0]], np.float32)
    case = Case("TreeEnsembleRegressor", [x], nodes, domain=ML, is_free=True)
    (answer,) = Native(case.model(3).SerializeToString()).run({"x0": x})
    follows = [0, 501, depth] if side == "nodes_truenodeids" else [depth, 0, 0]
    assert answer.ravel().tolist() == follows
    assert model.ByteSize() > depth


# ---- Constants ----


def with_constant(proto: TensorProto) -> ModelProto:
    model = graph([make_node("Add", ["x", "c"], ["y"])])
    proto.name = "c"
    model.graph.initializer.append(proto)
    return model


def raw(kind: int, dims: Sequence[int], data: bytes) -> TensorProto:
    return TensorProto(data_type=kind, dims=dims, raw_data=data)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (raw(FLOAT, [3], b"1234" * 2), "expected 3 elements, got 2"),
        (raw(FLOAT, [3], b"1234" * 4), "expected 3 elements, got 4"),
        (raw(FLOAT, [3], b"12345"), "expected elements of 4 bytes, got 5 bytes"),
        (raw(FLOAT, [3], b""), "expected 3 elements, got 0"),
        (raw(FLOAT, [HUGE, 4], b"1234"), "expected 4611686018427387904 elements, got 1"),
        (raw(FLOAT, [2**32, 2**32], b""), "more than 2^63 elements"),
        (raw(FLOAT, [2**31, 2**31, 2**31], b"1234"), "more than 2^63 elements"),
        (raw(FLOAT, [-1], b""), "expected dimensions of 0 or more, got -1"),
        (raw(FLOAT, [-2, -2], b"1234" * 4), "expected dimensions of 0 or more, got -2"),
        (raw(FLOAT, [2**63 - 1], b""), "expected 9223372036854775807 elements, got 0"),
        (TensorProto(data_type=FLOAT, dims=[2], float_data=[1.0]), "expected 2 elements, got 1"),
        (TensorProto(data_type=FLOAT, dims=[1], int64_data=[1]), "expected 1 elements, got 0"),
        (TensorProto(data_type=STRING, dims=[3], string_data=[b"a"]), "expected 3 elements"),
        (TensorProto(data_type=999, dims=[1], raw_data=b"1"), "string or uint8, got"),
        (TensorProto(dims=[1]), "string or uint8, got"),
    ],
)
def test_a_constant_of_another_size_is_refused(proto: TensorProto, words: str) -> None:
    error = refused(with_constant(copy.deepcopy(proto)))
    assert isinstance(error, errors.FileInvalid | errors.Unsupported)
    assert "tensor 'c': expected" in str(error)
    assert words in str(error)


# ---- Values and nodes ----


def test_a_value_that_is_made_twice_is_refused() -> None:
    nodes = [make_node("Neg", ["x"], ["y"]), make_node("Abs", ["x"], ["y"])]
    error = refused(graph(nodes))
    assert isinstance(error, errors.FileInvalid)
    assert "value 'y': expected one initializer, input or node that defines it" in str(error)
    both = make_node("TopK", ["x", "k"], ["y", "y"])
    error = refused(graph([both], constants={"k": np.array([1])}))
    assert isinstance(error, errors.FileInvalid)
    twice = graph([make_node("Neg", ["x"], ["y"])], constants={"c": X})
    twice.graph.initializer.append(copy.deepcopy(twice.graph.initializer[0]))
    assert "value 'c': expected one initializer" in str(refused(twice))


def test_a_value_that_is_read_before_it_is_made_is_refused() -> None:
    nodes = [make_node("Neg", ["a"], ["y"]), make_node("Abs", ["x"], ["a"])]
    error = refused(graph(nodes))
    assert isinstance(error, errors.FileInvalid)
    assert "an earlier node that defines value 'a', got none" in str(error)
    assert f"node '{NODE}'" in str(error)
    itself = refused(graph([make_node("Add", ["x", "y"], ["y"])]))
    assert "an earlier node that defines value 'y', got none" in str(itself)
    nowhere = refused(graph([make_node("Neg", ["x"], ["z"])]))
    assert isinstance(nowhere, errors.FileInvalid)
    assert "outputs of the graph: expected" in str(nowhere)


@pytest.mark.parametrize("domain", ["", ML, "com.microsoft"])
def test_an_unknown_operator_is_unsupported(domain: str) -> None:
    model = graph([make_node("NoSuchOperator", ["x"], ["y"], domain=domain)])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    error = refused(model)
    assert isinstance(error, errors.Unsupported)
    assert f"node '{NODE}'" in str(error)
    assert "NoSuchOperator" in str(error)


def test_an_operator_without_its_operator_set_is_refused() -> None:
    model = graph([make_node("Neg", ["x"], ["y"])])
    del model.opset_import[:]
    error = refused(model)
    assert isinstance(error, errors.FileInvalid)
    assert f"node '{NODE}' (Neg): expected an import of its operator set" in str(error)


@pytest.mark.parametrize("version", [0, -1, -(2**63)])
def test_an_operator_set_of_no_version_is_refused(version: int) -> None:
    model = graph([make_node("Add", ["x", "x"], ["y"])])
    model.opset_import[0].version = version
    error = refused(model)
    assert isinstance(error, errors.FileInvalid | errors.Unsupported)


def test_an_attribute_that_occurs_twice_is_refused() -> None:
    node = make_node("Softmax", ["x"], ["y"], axis=1)
    node.attribute.append(copy.deepcopy(node.attribute[0]))
    error = refused(graph([node]))
    assert isinstance(error, errors.FileInvalid)
    assert "attribute 'axis' occurs twice" in str(error)


def test_outputs_of_another_type_or_rank_are_refused() -> None:
    nodes = [make_node("Neg", ["x"], ["y"])]
    assert isinstance(refused(graph(nodes, kind=INT64)), errors.FileInvalid)
    model = graph(nodes)
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 2
    error = refused(model)
    assert isinstance(error, errors.FileInvalid)
    assert "output 'y': expected float32[2] as the graph declares" in str(error)


def test_shapes_that_disagree_are_refused() -> None:
    constant = {"c": np.ones((2, 5), np.float32)}
    for op in ("Add", "MatMul"):
        error = refused(graph([make_node(op, ["x", "c"], ["y"])], constants=constant))
        assert isinstance(error, errors.Engine)


# ---- Much from little ----


def known(*values: int) -> Known:
    return Known(np.array(values, np.int64))


SMALL = Known(np.ones((1, 1), np.float32))
MUCH = [
    Case("Reshape", [X, known(HUGE, 6)]),
    Case("Reshape", [X, known(2**32, 2**32)]),
    Case("Reshape", [X, known(2**63 - 1, 2**63 - 1, 2**63 - 1)]),
    Case("Expand", [np.ones((1, 1), np.float32), known(2**30, 2**30)]),
    Case("Expand", [np.ones((1, 1), np.float32), known(2**40, 2**40)]),
    Case("Expand", [SMALL, known(2**20, 2**20)]),
    Case("Expand", [SMALL, known(2**62, 2**62, 2**62)]),
    Case("Tile", [np.ones((1, 1), np.float32), known(2**30, 2**30)]),
    Case("Tile", [X, known(2**62, 2**62)]),
    Case("Tile", [SMALL, known(2**20, 2**20)]),
    Case("ConstantOfShape", [known(2**30, 2**30)], types=[FLOAT]),
    Case("ConstantOfShape", [known(HUGE)], types=[FLOAT]),
    Case("ConstantOfShape", [known(2**28)], types=[FLOAT]),
    Case("Range", [Known(np.array(each)) for each in (0, HUGE, 1)], types=[INT64]),
    Case("Pad", [X, known(0, HUGE, 0, HUGE)]),
    Case("Pad", [X, known(2**62, 2**62, 2**62, 2**62)]),
    Case("Pad", [SMALL, known(0, 2**40, 0, 0)]),
    Case("OneHot", [np.array([1, 2]), known(HUGE), Known(np.ones(2, np.float32))], types=[FLOAT]),
    Case("OneHot", [known(1, 2), known(2**40), Known(np.ones(2, np.float32))], types=[FLOAT]),
    Case("FeatureVectorizer", [X], {"inputdimensions": [2**40]}, [FLOAT], ML),
    Case("FeatureVectorizer", [X], {"inputdimensions": [2**63 - 1]}, [FLOAT], ML),
]


@pytest.mark.parametrize("case", MUCH, ids=[f"{each.op}-{i}" for i, each in enumerate(MUCH)])
def test_a_node_that_makes_2_to_the_60_elements_is_refused(case: Case) -> None:
    model = case.model(3 if case.domain else 21).SerializeToString()
    with pytest.raises(errors.Error) as caught:
        Native(model).run(case.feeds())
    assert not isinstance(caught.value, errors.EngineNotFound)


def test_constants_that_double_again_and_again_are_refused() -> None:
    nodes = [make_node("Concat", ["c", "c"], ["v0"], axis=0)]
    nodes += [make_node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], axis=0) for i in range(60)]
    nodes.append(make_node("Add", ["x", "v60"], ["y"]))
    error = refused(graph(nodes, constants={"c": np.ones((16, 3), np.float32)}))
    assert isinstance(error, errors.Unsupported)
    assert "expected at most 268435456 bytes from all nodes with constant inputs" in str(error)


def test_values_that_double_again_and_again_are_refused() -> None:
    nodes = [make_node("Concat", ["x", "x"], ["v0"], axis=0)]
    nodes += [make_node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], axis=0) for i in range(70)]
    nodes.append(make_node("Neg", ["v70"], ["y"]))
    assert isinstance(refused(graph(nodes)), errors.Error)


# ---- Long and wide graphs ----


def chain(op: str, count: int, **attributes: Any) -> list[NodeProto]:
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    return [
        make_node(op, [before], [after], **attributes)
        for before, after in itertools.pairwise(names)
    ]


@pytest.mark.parametrize("op", ["Identity", "Neg"])
def test_a_chain_of_100_000_nodes_answers(op: str) -> None:
    x = np.array([[1, -2, np.nan]], np.float32)
    native = Native(graph(chain(op, 100_000)).SerializeToString())
    (answer,) = native.run({"x": x})
    np.testing.assert_array_equal(answer, x)


def test_a_chain_of_constants_answers() -> None:
    nodes = [make_node("Identity", ["c"], ["v0"])]
    nodes += [make_node("Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(20_000)]
    nodes.append(make_node("Add", ["x", "v20000"], ["y"]))
    native = Native(graph(nodes, constants={"c": np.ones(3, np.float32)}).SerializeToString())
    (answer,) = native.run({"x": X})
    np.testing.assert_array_equal(answer, X + 1)


def test_a_node_of_20_000_inputs_answers() -> None:
    nodes = [make_node("Concat", ["x"] * 20_000, ["y"], axis=1)]
    (answer,) = Native(graph(nodes).SerializeToString()).run({"x": X})
    assert answer.shape == (2, 60_000)
    nodes = [make_node("Max", ["x"] * 20_000, ["y"])]
    (answer,) = Native(graph(nodes).SerializeToString()).run({"x": X})
    np.testing.assert_array_equal(answer, X)


@pytest.mark.parametrize("op", ["Transpose", "Expand", "Tile", "Add", "ReduceSum", "Identity"])
def test_many_dimensions_are_answered_or_unsupported(op: str) -> None:
    x = np.arange(2.0**8, dtype=np.float32).reshape((2, 1) * 8)
    y = x.reshape((1, 2) * 8)
    second: dict[str, list[Any]] = {
        "Expand": [known(*(2,) * 16)],
        "Tile": [known(*(1, 2) * 8)],
        "Add": [y],
        "ReduceSum": [known(0, 4, 8)],
    }
    for copies in (1, 3):
        wide = x.reshape((1,) * 16 * (copies - 1) + x.shape)
        case = Case(op, [wide, *second.get(op, [])])
        if op in ("Expand", "Tile") and copies > 1:
            continue
        try:
            native = Native(case.model(21).SerializeToString())
        except errors.Unsupported:
            continue
        assert native.run(case.feeds())[0].size >= x.size // 8


def test_a_constant_of_more_than_64_dimensions_is_unsupported() -> None:
    for rank in (64, 65):
        model = with_constant(raw(FLOAT, [1] * rank, bytes(4)))
        if rank == 64:
            Native(model.SerializeToString())
        else:
            assert isinstance(error := refused(model), errors.Unsupported)
            assert "expected rank 64 or less, got rank 65" in str(error)


def test_a_node_that_makes_more_than_64_dimensions_is_unsupported() -> None:
    for rank in (64, 65):
        case = Case("Reshape", [np.ones(1, np.float32), known(*(1,) * rank)])
        model = case.model(21).SerializeToString()
        if rank == 64:
            assert Native(model).run(case.feeds())[0].ndim == rank
        else:
            assert isinstance(error := refused(model), errors.Unsupported)
            assert "expected tensors of rank 64 or less, got rank 65" in str(error)


# ---- Random changes ----


def changed(model: ModelProto, rng: np.random.Generator) -> None:
    """Changes one number or one list of the graph's first node, or of a constant."""
    strange = [0, 1, -1, 2, 7, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63), -(2**31)]
    node = model.graph.node[0]
    lists = [each.ints for each in node.attribute if each.ints]
    floats = [each.floats for each in node.attribute if each.floats]
    lists += [each.t.dims for each in node.attribute if each.HasField("t")]
    lists += [each.dims for each in model.graph.initializer]
    singles = [each for each in node.attribute if each.type == each.INT]
    if singles and rng.random() < 0.3:
        singles[int(rng.integers(0, len(singles)))].i = strange[int(rng.integers(0, len(strange)))]
        return
    if floats and rng.random() < 0.3:
        values = floats[int(rng.integers(0, len(floats)))]
        if values and rng.random() < 0.5:
            del values[int(rng.integers(0, len(values)))]
        else:
            values.append(float(rng.normal()))
        return
    if not lists:
        return
    values = lists[int(rng.integers(0, len(lists)))]
    way = rng.integers(0, 3)
    if way == 0 or not values:
        values.append(strange[int(rng.integers(0, len(strange)))])
    elif way == 1:
        del values[int(rng.integers(0, len(values)))]
    else:
        values[int(rng.integers(0, len(values)))] = strange[int(rng.integers(0, len(strange)))]


def sources() -> dict[str, Callable[[], ModelProto]]:
    ints = known(0, 1)
    return {
        **{op: (lambda op=op: tree(op)) for op in TREES},
        "Slice": lambda: Case("Slice", [X, ints, known(2, 3), ints, known(1, 2)]).model(21),
        "Gather": lambda: Case("Gather", [X, ints], {"axis": 1}).model(21),
        "Pad": lambda: Case("Pad", [X, known(0, 1, 2, -1)]).model(21),
        "Split": lambda: Case("Split", [X, known(1, 2)], {"axis": 1}, (None, None)).model(21),
        "Transpose": lambda: Case("Transpose", [X], {"perm": [1, 0]}).model(21),
        "ReduceSum": lambda: Case("ReduceSum", [X, known(1)], {"keepdims": 1}).model(21),
        "OneHotEncoder": lambda: Case(
            "OneHotEncoder", [np.array([1, 2])], {"cats_int64s": [1, 5]}, (FLOAT,), ML
        ).model(1),
        "Imputer": lambda: Case(
            "Imputer", [np.ones((2, 2), np.int64)], {"imputed_value_int64s": [1, 2]}, (None,), ML
        ).model(1),
        "SVMClassifier": lambda: Case(
            "SVMClassifier",
            [X],
            {
                "kernel_type": "POLY",
                "kernel_params": [0.5, 0.0, 3.0],
                "vectors_per_class": [1, 2, 1],
                "classlabels_ints": [3, 4, 5],
                "support_vectors": [1.0] * 12,
                "coefficients": [1.0] * 8,
                "rho": [0.5] * 3,
                "prob_a": [-1.0] * 3,
                "prob_b": [0.5] * 3,
            },
            (INT64, FLOAT),
            ML,
        ).model(1),
        "SVMRegressor": lambda: Case(
            "SVMRegressor",
            [X],
            {
                "kernel_type": "RBF",
                "kernel_params": [0.5, 0.0, 3.0],
                "n_supports": 2,
                "support_vectors": [1.0] * 6,
                "coefficients": [1.0] * 2,
                "rho": [0.5],
            },
            (FLOAT,),
            ML,
        ).model(1),
        "GatherND": lambda: Case("GatherND", [X, Known([[0, 1]])], {"batch_dims": 0}).model(21),
    }


@pytest.mark.parametrize("name", list(sources()))
def test_changed_numbers_are_refused_or_answered(name: str) -> None:
    rng = np.random.default_rng(len(name))
    outcomes = set()
    for _ in range(300):
        model = sources()[name]()
        for _ in range(int(rng.integers(1, 4))):
            changed(model, rng)
        values = {each.name: each.type.tensor_type for each in model.graph.input}
        try:
            native = Native(model.SerializeToString())
            native.run(
                {
                    key: np.ones([dim.dim_value for dim in kind.shape.dim], dtype_of(kind))
                    for key, kind in values.items()
                }
            )
            outcomes.add("answered")
        except errors.EngineNotFound:
            raise
        except sidecall.errors.Error as error:
            outcomes.add(type(error).__name__)
    assert len(outcomes) > 1


def dtype_of(kind: Any) -> Any:
    return helper.tensor_dtype_to_np_dtype(kind.elem_type)
