"""Reads the trees of an exported file: thresholds, paths, and the bits of the sums on two engines.

Used by run.py and cases.py.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAF = -1


@dataclass(frozen=True)
class Trees:
    """The inner nodes of all trees. All conditions of the files that are read are `x <= threshold`.

    A child below 0 is a leaf.
    """

    feature: np.ndarray
    threshold: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    roots: np.ndarray


def read(path: Path) -> Trees:
    node = _tree_node(onnx.load(path))
    values = {item.name: _value_of(item) for item in node.attribute}
    return _read_new(values) if node.op_type == "TreeEnsemble" else _read_old(values)


def _tree_node(model: onnx.ModelProto) -> onnx.NodeProto:
    found = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    if len(found) != 1:
        raise ValueError(f"expected one node with trees, got {len(found)}")
    return found[0]


def _value_of(item: onnx.AttributeProto) -> np.ndarray:
    value = helper.get_attribute_value(item)
    is_tensor = isinstance(value, TensorProto)
    return numpy_helper.to_array(value) if is_tensor else np.array(value)


def _read_new(values: dict[str, np.ndarray]) -> Trees:
    if values["nodes_modes"].any():
        raise ValueError("expected only conditions x <= threshold")
    yes, no = (
        np.where(values[f"nodes_{side}leafs"] == 1, LEAF, values[f"nodes_{side}nodeids"])
        for side in ("true", "false")
    )
    return Trees(values["nodes_featureids"], values["nodes_splits"], yes, no, values["tree_roots"])


def _read_old(values: dict[str, np.ndarray]) -> Trees:
    is_leaf = values["nodes_modes"] == b"LEAF"
    if not np.isin(values["nodes_modes"], [b"LEAF", b"BRANCH_LEQ"]).all():
        raise ValueError("expected only conditions x <= threshold")
    names = list(
        zip(values["nodes_treeids"].tolist(), values["nodes_nodeids"].tolist(), strict=True)
    )
    place = {name: i for i, name in enumerate(names)}
    sides = []
    for side in ("true", "false"):
        children = values[f"nodes_{side}nodeids"].tolist()
        at = np.array(
            [place[tree, child] for (tree, _), child in zip(names, children, strict=True)]
        )
        sides.append(np.where(is_leaf[at], LEAF, at))
    roots = [i for i, (_, node) in enumerate(names) if node == 0 and not is_leaf[i]]
    thresholds = values["nodes_values"].astype(np.float32)
    return Trees(values["nodes_featureids"], thresholds, *sides, np.array(roots))


def path_lengths(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """How many inner nodes a row visits in each tree, [rows, trees]."""
    at = np.broadcast_to(trees.roots, (len(rows), len(trees.roots))).copy()
    lengths = np.zeros(at.shape, np.int64)
    each = np.arange(len(rows))[:, None]
    while (at >= 0).any():
        inner = at >= 0
        lengths += inner
        here = np.maximum(at, 0)
        is_yes = rows[each, trees.feature[here]] <= trees.threshold[here]
        at = np.where(inner, np.where(is_yes, trees.yes[here], trees.no[here]), at)
    return lengths


def rows_beside_thresholds(path: Path, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows in which about half of the numbers are a threshold or one of its neighbours.

    The neighbours are those among the numbers of float64 and among those of float32.
    """
    trees = read(path)
    is_finite = np.isfinite(trees.threshold)
    rng = np.random.default_rng(seed)
    made = rows[rng.integers(0, len(rows), count)].copy()
    for feature in range(rows.shape[1]):
        thresholds = trees.threshold[is_finite & (trees.feature == feature)]
        if len(thresholds) == 0:
            continue
        picked = rng.choice(thresholds, count).astype(np.float64)
        narrow = picked.astype(np.float32)
        infinite = np.array(np.inf, np.float32)
        choices = np.stack(
            [
                picked,
                np.nextafter(picked, np.inf),
                np.nextafter(picked, -np.inf),
                narrow,
                np.nextafter(narrow, infinite),
                np.nextafter(narrow, -infinite),
            ]
        )
        values = choices[rng.integers(0, len(choices), count), np.arange(count)]
        is_moved = rng.random(count) < 0.5
        made[is_moved, feature] = values[is_moved]
    return made


def _write_sums(source: Path, target: Path) -> str:
    """Writes a model whose only output is the sums of the trees; returns the output's name."""
    import onnxruntime

    model = onnx.load(source)
    del model.metadata_props[:]  # the contract describes other outputs
    node = _tree_node(model)
    for item in node.attribute:
        if item.name == "post_transform" and item.type == onnx.AttributeProto.STRING:
            item.s = b"NONE"
    name = node.output[-1]
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (output,) = session.get_outputs()
    kinds = {"tensor(double)": TensorProto.DOUBLE, "tensor(float)": TensorProto.FLOAT}
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(name, kinds[output.type], ["N", None]))
    onnx.save(model, target)
    return name


def count_different_bits(source: Path, target: Path, rows: np.ndarray) -> int:
    """How many rows have a sum of which a bit differs between the native engine and ONNX Runtime.

    `target` is the file to write, with the sums as its output.
    """
    import onnxruntime
    import sidecall

    name = _write_sums(source, target)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(target, options, providers=["CPUExecutionProvider"])
    (expected,) = session.run([name], {"X": rows})
    before = os.environ.get("SIDECALL_ENGINE")
    os.environ["SIDECALL_ENGINE"] = "native"
    try:
        with sidecall.open(target) as model:
            got = model.run({"X": rows})[name]
    finally:
        del os.environ["SIDECALL_ENGINE"]
        if before is not None:
            os.environ["SIDECALL_ENGINE"] = before
    if got.dtype != expected.dtype or got.shape != expected.shape:
        raise ValueError(f"expected {expected.dtype}, got {got.dtype}")
    bits = f"u{expected.itemsize}"
    different = np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(expected).view(bits)
    return int(different.reshape(len(rows), -1).any(axis=1).sum())
