"""Makes a service from the target of `serve`.

A target is a model file, a pickle, module:object, an estimator or a function.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecall import errors

from .service import ModelFile, Service

_PICKLES = (".joblib", ".pkl", ".pickle")
_MAX_CONTRACT = 64 << 20  # bytes; the most that a server may send to its clients
_ASKED = ("predict", "transform", "predict_proba", "score_samples", "kneighbors")
_METHODS = {
    "label": "predict",
    "probabilities": "predict_proba",
    "prediction": "predict",
    "scores": "decision_function",
    "transformed": "transform",
}
_NEIGHBOURS = {"distances": "kneighbors.0", "indices": "kneighbors.1"}


def is_estimator(target: Any) -> bool:
    """Whether the target has methods of a fitted model and is not a class."""
    return not isinstance(target, type) and any(
        callable(getattr(target, name, None)) for name in _ASKED
    )


def resolve(target: Any, *, trust_pickle: bool) -> tuple[Any, str | None]:
    """Returns the object itself, or a ModelFile, and a name if the target has one.

    Raises InvalidArgument, FileNotFound.
    """
    if not isinstance(target, (str, os.PathLike)):
        return target, getattr(target, "__name__", None) or type(target).__name__
    text = os.fspath(target)
    suffix = Path(text).suffix.lower()
    if suffix in _PICKLES:
        return _unpickled(Path(text), trust_pickle), Path(text).stem
    module, _, name = text.partition(":")
    if (
        isinstance(target, str)
        and name
        and "/" not in text
        and suffix != ".onnx"
        and module != "file"
    ):
        return _imported(module, name), name.rsplit(".", 1)[-1]
    return ModelFile(text), None


def service_of(
    target: Any,
    *,
    data: Any,
    contract: Any,
    inputs: Mapping[str, str] | None,
    outputs: Mapping[str, str] | None,
    name: str,
    version: str,
    metadata: Mapping[str, Any] | None,
    golden: str,
    ranges: bool,
    dtype: Any,
    feature_names: Sequence[str] | None,
) -> Service:
    """Makes the service of an object.

    Raises sidecall.errors.Error, and the errors of `sidecall.export` for data and models that no
    contract can describe.
    """
    parsed_contract = None if contract is None else read_contract(contract)
    if inputs is None and outputs is None and is_estimator(target):
        if parsed_contract is not None:
            return _by_contract(target, parsed_contract)
        from .contracts import service_of as service_of_estimator

        return service_of_estimator(
            target,
            data,
            name=name,
            version=version,
            metadata=metadata,
            golden=golden,
            ranges=ranges,
            dtype=dtype,
            feature_names=feature_names,
        )
    function = target if callable(target) else getattr(target, "predict", None)
    if function is None:
        raise errors.InvalidArgument(
            f"expected an estimator, a function or a path, got {type(target).__name__}"
        )
    from .functions import service_of_function

    about: dict[str, Any] = {"name": name, "version": version}
    if metadata is not None:
        about["metadata"] = dict(metadata)
    return service_of_function(
        function, data=data, contract=parsed_contract, inputs=inputs, outputs=outputs, about=about
    )


def read_contract(contract: Any) -> dict[str, Any]:
    """Reads a contract from a dict, or from the path of a .contract.json.

    Raises FileNotFound, ContractInvalid.
    """
    if isinstance(contract, Mapping):
        return _checked(dict(contract), "contract")
    where = f"file '{os.fspath(contract)}'"
    try:
        with Path(contract).open("rb") as file:
            text = file.read(_MAX_CONTRACT + 1)
        if len(text) > _MAX_CONTRACT:
            raise errors.ContractInvalid(
                f"{where}: expected at most {_MAX_CONTRACT >> 20} MiB, got more"
            )
        return _checked(json.loads(text.decode("utf-8")), where)
    except FileNotFoundError:
        raise errors.FileNotFound(f"{where}: no such file") from None
    except RecursionError:
        raise errors.ContractInvalid(
            f"{where}: expected JSON of at most 64 levels, got more"
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, errors.Error):
            raise
        raise errors.ContractInvalid(
            f"{where}: expected JSON, got {type(error).__name__}"
        ) from error


def _checked(value: Any, where: str) -> dict[str, Any]:
    """Checks that the value looks like a contract; the library checks the rest."""
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("features"), list)
        or not isinstance(value.get("outputs"), list)
    ):
        raise errors.ContractInvalid(
            f"{where}: expected a contract with features and outputs, got something else"
        )
    return value


def _by_contract(model: Any, contract: dict[str, Any]) -> Service:
    """Makes the service of an estimator that a contract describes.

    The estimator gets a DataFrame if the contract has several inputs or datetimes, or the estimator
    was trained with names, else an array or text.
    """
    import numpy as np

    from . import rows
    from .estimators import Answer, Estimator
    from .functions import input_names

    features = contract["features"]
    places = rows.places_of(features, input_names(features))
    answers = []
    for output in contract["outputs"]:
        by_class = output["role"] != "label" and "classes" in output
        width = len(output["classes"]) if by_class else output.get("width")
        answers.append(Answer(output["name"], _method(model, output), output["type"], width))
    builder: Any
    has_names = getattr(model, "feature_names_in_", None) is not None
    has_dates = any(place.kind == "datetime" for place in places)
    if len(input_names(features)) > 1 or has_names or has_dates:
        from .frames import Frame, template

        builder = Frame(places, template(features), [np.nan] * len(places))
    elif len(places) == 1 and places[0].kind == "string":
        builder = rows.Text(places[0], None)
    elif any(place.kind == "string" for place in places):
        builder = rows.Objects(places, [np.nan] * len(places))
    else:
        builder = rows.Matrix(np.dtype(np.float64))
    return Service(
        Estimator(model, builder, answers),
        None,
        json.dumps(contract, ensure_ascii=False),
        is_repeatable=True,
    )


def _method(model: Any, output: dict[str, Any]) -> str:
    if output["name"] in _NEIGHBOURS and hasattr(model, "kneighbors"):
        return _NEIGHBOURS[output["name"]]
    method = _METHODS.get(output["role"], "predict")
    if method == "decision_function" and not hasattr(model, method):
        method = (
            "score_samples"
            if hasattr(model, "score_samples") and not hasattr(model, "transform")
            else "transform"
        )
    if not callable(getattr(model, method, None)):
        raise errors.ContractInvalid(
            f"output '{output['name']}': expected a model with {method}, got {type(model).__name__}"
        )
    return method


def _unpickled(path: Path, trusted: bool) -> Any:
    if not path.is_file():
        raise errors.FileNotFound(f"file '{path}': no such file")
    if not trusted:
        raise errors.InvalidArgument(
            f"file '{path}': loading a pickle can run any code of its author; if you trust the "
            "author, pass trust_pickle=True (--trust-pickle)"
        )
    try:
        try:
            from joblib import load  # type: ignore[import-untyped]  # reads plain pickles too
        except ImportError:
            import pickle

            return pickle.loads(path.read_bytes())
        return load(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise errors.FileInvalid(
            f"file '{path}': expected a pickled object, got a file that does not load "
            f"({type(error).__name__})"
        ) from error


def _imported(module: str, name: str) -> Any:
    from importlib import import_module

    current_folder = str(Path.cwd())
    if current_folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, current_folder)
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.split(".")[0] == error.name.split(".")[0]:
            raise errors.InvalidArgument(
                f"'{module}:{name}': module '{module}' does not exist"
            ) from error
        raise
    for part in name.split("."):
        if not hasattr(found, part):
            raise errors.InvalidArgument(
                f"'{module}:{name}': module '{module}' has no object '{name}'"
            )
        found = getattr(found, part)
    return found
