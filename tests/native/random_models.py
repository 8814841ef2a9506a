"""Steps of random graphs that are models: trees, linear models, and functions that end a graph."""

from __future__ import annotations

from typing import Any

from drawn_trees import Branch, draw_forest, new_attributes, old_attributes
from graph_builder import Builder, Value
from judging import TRANSFORMS
from operator_cases import pick
from random_categories import words
from random_steps import REALS, choose, end, frequent_step, is_table, numbers
from two_engines import ML

# ---- Trees ----


def single_leaves(b: Builder, forest: Any, tree: Any) -> None:
    if isinstance(tree, Branch):
        single_leaves(b, forest, tree.yes)
        single_leaves(b, forest, tree.no)
    else:
        target = int(b.rng.integers(0, forest.num_targets))
        tree.weights = [(target, tree.weights[0][1])]


def transform_of(b: Builder) -> str:
    return str(pick(b.rng, ["NONE", "NONE", "NONE", *TRANSFORMS[1:4]]))


@frequent_step
def trees(b: Builder) -> None:
    value = choose(b, REALS, is_table)
    if value is None:
        return
    if b.opset_ml >= 5:
        targets = int(pick(b.rng, [1, 1, 3]))
        forest = draw_forest(b.rng, value.dtype, value.width, targets, needs_branch=True)
        for tree in forest.trees:
            single_leaves(b, forest, tree)
        b.numbers += [float(each) for each in forest.thresholds()[:200]]
        attributes = {**new_attributes(forest), "aggregate_function": int(pick(b.rng, [0, 1, 1]))}
        name = b.apply("TreeEnsemble", [value.name], value, domain=ML, **attributes)
        b.offer(name, value, width=targets, loose_zeros=False)
        return
    if b.rng.random() < 0.5:
        tree_regressor(b, value)
    else:
        tree_classifier(b, value)


def tree_regressor(b: Builder, value: Value) -> None:
    targets = int(pick(b.rng, [1, 1, 2, 5]))
    is_dense = bool(b.rng.random() < 0.5)
    forest = draw_forest(b.rng, value.dtype, value.width, targets, dense=is_dense)
    if targets > 1 and not is_dense:
        forest.base_values = []  # a target may have no leaf then
    b.numbers += [float(each) for each in forest.thresholds()[:200]]
    attributes = {**old_attributes(forest, "target"), "domain": ML}
    attributes["aggregate_function"] = pick(b.rng, ["SUM", "SUM", "AVERAGE"])
    floats = Value("", "float32", targets)
    transform = transform_of(b)
    if transform != "NONE" and targets > 1:
        attributes["post_transform"] = transform
        types = ["float32"]
        b.end("TreeEnsembleRegressor", [value.name], types, has_transform=True, **attributes)
        return
    b.offer(b.apply("TreeEnsembleRegressor", [value.name], floats, **attributes), floats)


def tree_classifier(b: Builder, value: Value) -> None:
    classes = int(pick(b.rng, [2, 2, 3, 5]))
    targets = [0] if classes == 2 else None
    forest = draw_forest(b.rng, value.dtype, value.width, classes, targets=targets, dense=True)
    if classes == 2:
        forest.base_values = forest.base_values[:1]
    b.numbers += [float(each) for each in forest.thresholds()[:200]]
    attributes: dict[str, Any] = {**old_attributes(forest, "class"), "domain": ML}
    label = pick(b.rng, ["object", "int64"])
    if label == "object":
        attributes["classlabels_strings"] = words(b.rng, classes)
    else:
        attributes["classlabels_int64s"] = [int(each) for each in b.rng.permutation(50)[:classes]]
    types = [label, "float32"]
    transform = transform_of(b)
    if transform != "NONE":
        attributes["post_transform"] = transform
        b.end("TreeEnsembleClassifier", [value.name], types, has_transform=True, **attributes)
        return
    names = [b.name(), b.name()]
    b.node("TreeEnsembleClassifier", [value.name], names, **attributes)
    b.offer(names[0], value, dtype=label, width=0, loose_zeros=False)
    b.offer(names[1], Value("", "float32", classes))


# ---- Ends, whose answer is not exact ----


@end
def transcendental(b: Builder) -> None:
    value = choose(b, REALS)
    if value is None:
        return
    ops = ["Exp", "Log", "Sin", "Cos", "Tanh", "Sigmoid", "Erf", "Pow", "Softmax", "LogSoftmax"]
    op = pick(b.rng, ops)
    if op == "Erf" and value.dtype != "float32":
        return  # ONNX Runtime does not have it
    if op == "Pow":
        exponent = b.constant(pick(b.rng, [2, 3, 0.5, -1, 1.75]), value.dtype)
        b.end(op, [value.name, exponent], [value.dtype])
        return
    if op.endswith("oftmax"):
        if value.width:
            b.end(op, [value.name], [value.dtype], axis=int(pick(b.rng, [-1, 1, 0])))
        return
    b.end(op, [value.name], [value.dtype])


@end
def activation(b: Builder) -> None:
    value = choose(b, ["float32"])
    if value is not None:
        b.end(pick(b.rng, ["Elu", "Selu", "Softplus"]), [value.name], [value.dtype])


@end
def support_vectors(b: Builder) -> None:
    value = choose(b, ["float32"], is_table)
    if value is None:
        return
    low, high = b.constant(-4, "float32"), b.constant(4, "float32")
    rounded = b.apply("Round", [value.name], value)
    # Small integers have exact sums of products; see cases/svm.py.
    name = b.offer(b.apply("Clip", [rounded, low, high], value), value, grid=4.0).name
    classes = int(pick(b.rng, [2, 3, 5]))
    per_class = [int(each) for each in b.rng.integers(1, 6, classes)]
    count = sum(per_class)
    attributes: dict[str, Any] = {
        "kernel_type": str(pick(b.rng, ["LINEAR", "POLY", "RBF"])),
        "kernel_params": [0.25, 1.0, float(pick(b.rng, [2, 3]))],
        "support_vectors": [float(each) for each in b.rng.integers(-4, 5, count * value.width)],
        "domain": ML,
    }
    if b.rng.random() < 0.5:
        weights = [float(each) for each in b.rng.normal(size=count)]
        regressor = {"coefficients": weights, "n_supports": count, "rho": [0.5]}
        b.end("SVMRegressor", [name], ["float32"], **regressor, **attributes)
        return
    pairs = classes * (classes - 1) // 2
    attributes["coefficients"] = [float(x) for x in b.rng.normal(size=(classes - 1) * count)]
    attributes["rho"] = [float(each) for each in b.rng.normal(size=pairs)]
    attributes["vectors_per_class"] = per_class
    attributes["classlabels_ints"] = [int(each) for each in b.rng.permutation(50)[:classes]]
    if b.rng.random() < 0.5:
        attributes["prob_a"] = [-float(each) - 0.5 for each in b.rng.random(pairs)]
        attributes["prob_b"] = [float(each) for each in b.rng.normal(size=pairs)]
    b.end("SVMClassifier", [name], ["int64", "float32"], **attributes)


@end
def reduced(b: Builder) -> None:
    value = choose(b, REALS, is_table)
    if value is None:
        return
    ops = ["ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"]
    op = pick(b.rng, ops)
    axis, keep = int(pick(b.rng, [1, 1, 0])), int(pick(b.rng, [0, 1]))
    if b.opset >= (13 if op == "ReduceSum" else 18):
        inputs = [value.name, b.constant([axis], "int64")]
        b.end(op, inputs, [value.dtype], keepdims=keep)
    else:
        b.end(op, [value.name], [value.dtype], axes=[axis], keepdims=keep)


@end
def linear(b: Builder) -> None:
    value = choose(b, REALS, is_table)
    if value is None:
        return
    width = int(pick(b.rng, [1, 2, 5, 20]))
    op = pick(b.rng, ["Gemm", "MatMul", "LinearRegressor", "LinearClassifier"])
    weights = numbers(b.rng, value.dtype, (value.width, width), size=1)
    if op == "MatMul":
        b.end(op, [value.name, b.constant(weights, value.dtype)], [value.dtype])
    elif op == "Gemm":
        bias = b.constant(numbers(b.rng, value.dtype, (width,)), value.dtype)
        is_turned = int(pick(b.rng, [0, 1]))
        matrix = b.constant(weights.T if is_turned else weights, value.dtype)
        b.end(op, [value.name, matrix, bias], [value.dtype], transB=is_turned)
    elif value.dtype == "float32" and width > 1:
        attributes: dict[str, Any] = {
            "coefficients": [float(each) for each in weights.ravel()],
            "intercepts": [float(each) for each in numbers(b.rng, "float32", (width,))],
            "domain": ML,
        }
        if op == "LinearRegressor":
            b.end(op, [value.name], ["float32"], targets=width, **attributes)
            return
        labels = [int(each) for each in b.rng.permutation(50)[:width]]
        b.end(op, [value.name], ["int64", "float32"], classlabels_ints=labels, **attributes)
