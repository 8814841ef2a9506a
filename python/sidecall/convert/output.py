"""The entry point of a conversion; decides which outputs a model has and their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.exceptions import NotFittedError

from .checks import REFUSED, Checks
from .dates import DateType
from .errors import NotConvertible
from .graph.builder import Tensor
from .graph.dates import Dates
from .graph.frame import LEFT_OUT, Frame
from .graph.promotion import DATES
from .registry import Conversion, no_converter

OUTPUTS = ("label", "probabilities", "prediction", "scores", "transformed", "distances", "indices")

Output = tuple[str, Tensor, list[int]]


def to_graph(
    model: Any,
    inputs: list[tuple[str, str, int]],
    *,
    precision: str = "float64",
    rows: str = "float32",
    steps: Mapping[int, str] | None = None,
    unused: Sequence[int] = (),
    checks: Checks | None = None,
    examples: Mapping[int, Any] | None = None,
    categories: Mapping[int, Mapping[int, list[Any]]] | None = None,
    dates: Mapping[str, DateType] | None = None,
) -> onnx.ModelProto:
    """Builds the ONNX graph of a fitted model.

    inputs     (name, dtype, width) in the order of the columns that the model was trained on.
               dtype is float32, float64, int64, bool or string. Tensors are [N, width].
    precision  "float64" or "float32": the type of thresholds and sums inside the graph, and of
               its outputs.
    steps      With precision "float64": the type in which a step of the original computes,
               "float32" or "float64", by the id() of the step. The graph computes the step in the
               same type. Steps that are not listed compute in "float64".
    rows       What a float32 input value means. "float32": the number itself; the graph answers
               like the model for the float32 row. "float64": a float64 number that was rounded.
               The graph then rounds thresholds, bin edges and categories in the same way, so that
               a number that equals one of them before it is rounded still equals it afterwards.
    unused     The positions of the columns that the model does not use, counted among all columns
               that it was trained on. Such columns have no input.
    checks     The rules of steps and the ranges of inputs. If a computed number may break a
               rule, the last output is `refused` (docs/contract.md). For each row it holds the
               position, counted from 1, of the first step in `checks.steps` that refuses the row,
               or 0 if none does.
    examples   A row as each step gets it in the original, by the id() of the step. Converters of
               users and functions need its container, names and types.
    categories The values that a step got in its columns of categories, by the id() of the step and
               the position of the column. Converters of models that hold only hashes need them.
    dates      The unit and the zone of each input of int64 that holds the counts of dates, by its
               name.

    Raises NotConvertible with the step and the reason.
    """
    if precision not in ("float32", "float64"):
        raise ValueError(f"precision: expected 'float32' or 'float64', got {precision!r}")
    if rows not in ("float32", "float64"):
        raise ValueError(f"rows: expected 'float32' or 'float64', got {rows!r}")
    input_names = {name for name, _, _ in inputs}
    if clash := input_names & {*OUTPUTS, REFUSED}:
        raise NotConvertible(
            "", f"the input '{min(clash)}' has a name that is reserved for outputs"
        )
    checks = checks or Checks()

    unsplit: set[tuple[str, int]] = set()

    def convert(new_trees: bool) -> tuple[onnx.ModelProto, bool]:
        before = len(unsplit)
        result = _convert(
            model,
            inputs,
            precision,
            rows,
            steps,
            unused,
            checks,
            examples or {},
            categories or {},
            dates or {},
            new_trees,
            unsplit,
        )
        return result if len(unsplit) == before else convert(new_trees)

    graph, both = convert(new_trees=False)
    return convert(new_trees=True)[0] if both else graph


def _convert(
    model: Any,
    inputs: list[tuple[str, str, int]],
    precision: str,
    rows: str,
    steps: Mapping[int, str] | None,
    unused: Sequence[int],
    checks: Checks,
    examples: Mapping[int, Any],
    categories: Mapping[int, Mapping[int, list[Any]]],
    dates: Mapping[str, DateType],
    new_trees: bool,
    unsplit: set[tuple[str, int]],
) -> tuple[onnx.ModelProto, bool]:
    """Builds the graph once.

    Also returns whether the graph has tree operators of two versions of ai.onnx.ml, which is not
    allowed in one graph.
    """
    names = [name for name, _, _ in inputs]
    g = (
        Conversion(precision, names, rows)
        if precision == "float32"
        else Conversion("float64", names, rows, steps or {})
    )
    g.inputs = {name: int(width) for name, _, width in inputs}
    g.new_trees, g.checks, g.examples, g.categories = new_trees, checks, examples, categories
    g.unsplit = unsplit
    tensors = [Tensor(g, name, dtype, int(width)) for name, dtype, width in inputs]
    tensors = [Dates(t, dates[t.name]) if t.name in dates else t for t in tensors]
    for tensor in tensors:
        tensor.single = tensor.dtype == "float32"
        tensor.range = checks.inputs.get(tensor.name)
    columns = _ordered(model, tensors)
    for place in sorted(unused):
        columns.insert(place, Tensor(g, "", LEFT_OUT, 1))
    with g.computing_as(model):
        outputs = build(g, model, Frame(g, columns)) + g.refused()
    graph = g.finish(type(model).__name__, [(t, t.width or 1) for t in tensors], outputs)
    operators = {node.op_type for node in graph.graph.node}
    return graph, "TreeEnsemble" in operators and not operators.isdisjoint(
        {"TreeEnsembleRegressor", "TreeEnsembleClassifier"}
    )


def build(g: Conversion, model: Any, x: Frame) -> list[Output]:
    """The outputs of a model over the columns x. Unexpected failures become NotConvertible too."""
    try:
        return _outputs(g, model, x)
    except NotConvertible:
        raise
    except NotFittedError as error:
        raise NotConvertible(type(model).__name__, "it is not fitted") from error
    except (AttributeError, TypeError, ValueError, NotImplementedError, LookupError) as error:
        # The fitted object has an unknown form. Refuse it and name the cause; never return a graph
        # that might be wrong.
        fitted = hasattr(model, "n_features_in_") or any(
            name.endswith("_") for name in getattr(model, "__dict__", ())
        )
        reason = (
            f"its fitted form is not the expected one ({error})" if fitted else "it is not fitted"
        )
        is_known = g.failed is not None and g.failed[0] is error
        step = g.failed[1] if g.failed is not None and is_known else type(model).__name__
        raise NotConvertible(step, reason) from error


def _ordered(model: Any, tensors: list[Tensor]) -> list[Tensor]:
    """The tensors in the order of the model's feature names if it has them, otherwise unchanged."""
    expected = list(getattr(model, "feature_names_in_", []))
    by_name = {t.name: t for t in tensors}
    if len(tensors) > 1 and expected and set(expected) <= set(by_name):
        return [by_name[name] for name in expected]
    return list(tensors)


def _outputs(g: Conversion, model: Any, x: Frame) -> list[Output]:
    kind = final_step(model)
    if reason := g.refusal(kind):
        raise NotConvertible(type(kind).__name__, reason)
    if not hasattr(kind, "__sklearn_tags__"):
        if g.handles(kind, "predict"):
            return _prediction(g, model, x)
        raise NotConvertible(
            type(kind).__name__,
            no_converter(kind),
        )
    if is_classifier(kind) and hasattr(model, "classes_") and not g.predicts_numbers(kind):
        return _classifier(g, model, x)
    if is_outlier_detector(kind) and hasattr(model, "predict"):
        scores = g.call(model, "decision_function", x)
        inlier = g.where(scores >= 0.0, g.const(np.int64(1)), g.const(np.int64(-1)))
        return [("label", g.flatten(inlier), []), ("scores", scores, [1])]
    # scikit-learn does not count a ranker as a regressor, but its outputs are those of one.
    if is_regressor(kind) or (g.handles(kind, "predict") and not g.handles(kind, "class_index")):
        return _prediction(g, model, x)
    if hasattr(model, "predict") and (is_clusterer(kind) or not hasattr(model, "transform")):
        return _clusterer(g, model, x)
    if hasattr(model, "predict") and g.handles(kind, "class_index"):
        return _clusterer(g, model, x)
    if hasattr(model, "score_samples") and g.handles(kind, "score_samples"):
        return [("scores", g.call(model, "score_samples", x), [1])]
    if hasattr(model, "kneighbors") and g.handles(kind, "kneighbors"):
        near, place = g.call(model, "kneighbors", x)
        return [("distances", near, [_width(near)]), ("indices", place, [_width(place)])]
    if not hasattr(model, "transform"):
        raise NotConvertible(
            type(kind).__name__,
            "it has neither predict nor transform: it cannot answer for new rows",
        )
    answer = g.transform(model, x)
    if DATES in answer.dtypes:
        raise NotConvertible(
            type(kind).__name__,
            "a column that it returns holds dates, and outputs hold numbers or texts; "
            "drop the column, or compute its parts",
        )
    dtype = "string" if set(answer.dtypes) == {"string"} else g.real
    matrix = answer.matrix(dtype)
    return [("transformed", matrix, [_width(matrix)])]


def _prediction(g: Conversion, model: Any, x: Frame) -> list[Output]:
    y = g.predict(model, x)
    return [("prediction", g.cast(y, g.real), [_width(y)])]


def final_step(model: Any) -> Any:
    """The step that decides what the whole model answers."""
    libraries = ("sklearn.", "imblearn.", "feature_engine.")
    while type(model).__module__.startswith(libraries) and type(model).__name__ in _HOLDERS:
        model = _HOLDERS[type(model).__name__](model)
    return model


_HOLDERS: dict[str, Callable[[Any], Any]] = {
    "Pipeline": lambda m: m.steps[-1][1],
    "GridSearchCV": lambda m: getattr(m, "best_estimator_", None),
    "RandomizedSearchCV": lambda m: getattr(m, "best_estimator_", None),
    "HalvingGridSearchCV": lambda m: getattr(m, "best_estimator_", None),
    "HalvingRandomSearchCV": lambda m: getattr(m, "best_estimator_", None),
    "FrozenEstimator": lambda m: m.estimator,
}


def _width(x: Tensor) -> int:
    if x.width is None:
        raise NotConvertible("", "the number of output columns is not known")
    return x.width


def _clusterer(g: Conversion, model: Any, x: Frame) -> list[Output]:
    label = g.call(model, "class_index", x)
    outputs: list[Output] = [("label", label, [])]
    kind = final_step(model)
    for method, name in (("predict_proba", "probabilities"), ("transform", "scores")):
        if hasattr(model, method) and g.handles(kind, method):
            scores = g.frame(g.call(model, method, x)).matrix()
            outputs.append((name, scores, [_width(scores)]))
            break
    return outputs


def _classifier(g: Conversion, model: Any, x: Frame) -> list[Output]:
    classes = model.classes_
    if isinstance(classes, list):
        return _multioutput(g, model, x, classes)
    index = g.call(model, "class_index", x)
    label = class_labels(g, np.asarray(classes), index)
    outputs: list[Output] = [("label", label, [])]
    if hasattr(model, "predict_proba"):
        scores = g.cast(g.call(model, "predict_proba", x), g.real)
        outputs.append(("probabilities", scores, [_width(scores)]))
    elif hasattr(model, "decision_function"):
        scores = g.cast(g.call(model, "decision_function", x), g.real)
        outputs.append(("scores", scores, [_width(scores)]))
    return outputs


def class_labels(g: Conversion, classes: np.ndarray, index: Tensor) -> Tensor:
    """The classes at `index`, in the type that the contract uses for them."""
    if classes.dtype.kind == "f" and np.all(classes == np.floor(classes)):
        classes = classes.astype("int64")
    kinds = {type(c) for c in classes.tolist()}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        names = ", ".join(sorted(k.__name__ for k in kinds))
        raise NotConvertible(
            "", f"classes: expected strings, integers or booleans, all of one type, got {names}"
        )
    if kinds != {str} and np.array_equal(classes.astype("int64"), np.arange(len(classes))):
        return index
    if kinds == {str}:
        return g.gather(g.const(classes.astype(object)), index)
    return g.gather(g.const(classes.astype("int64")), index)


def _multioutput(g: Conversion, model: Any, x: Frame, classes: list[Any]) -> list[Output]:
    index = g.call(model, "class_index", x)
    columns = [class_labels(g, np.asarray(c), g.columns(index, [k])) for k, c in enumerate(classes)]
    outputs: list[Output] = [("label", g.concat(columns), [len(classes)])]
    # A ClassifierChain gives one number for each label: the probability or the score of the label
    # being set. Other classifiers give one array per label, which no contract can describe.
    if type(final_step(model)).__name__ == "ClassifierChain":
        for method, name in (("predict_proba", "probabilities"), ("decision_function", "scores")):
            if hasattr(model, method):
                return [*outputs, (name, g.cast(g.call(model, method, x), g.real), [len(classes)])]
    return outputs
