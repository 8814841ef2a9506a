"""An MLflow flavour: exported files in a tracking server or a model registry, and out of it again.

    report = sidecall.export(pipeline, "fraud.onnx", X)
    info = sidecall.mlflow.log_model("fraud.onnx", name="fraud")

    mlflow.pyfunc.load_model(info.model_uri).predict(frame)   # like every MLflow model
    sidecall.mlflow.load_model(info.model_uri)                # a sidecall.Model

What MLflow stores is the exported file itself, so `mlflow artifacts download` gives a file for C,
Node.js and every other language. The signature of the MLflow model comes from the contract.

Needs the package mlflow or mlflow-skinny. `import sidecall` does not load this module; import it as
`import sidecall.mlflow`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
from mlflow.models import Model as MlflowModel
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

import sidecall

__all__ = ["load_model", "log_model", "save_model"]

FLAVOR_NAME = "sidecall"
_TYPES = {
    "float32": DataType.double,  # MLflow refuses a float64 for a float32
    "float64": DataType.double,
    "int64": DataType.long,
    "bool": DataType.boolean,
    "string": DataType.string,
}


def log_model(file: str | os.PathLike[str], name: str = "model", **options: Any) -> Any:
    """Logs an exported file as an MLflow model, in the active run or in a new one.

    file     the .onnx file that sidecall.export wrote
    name     the name of the MLflow model
    options  those of mlflow.models.Model.log, such as registered_model_name, and of save_model

    Returns MLflow's ModelInfo. Raises the errors of save_model.
    """
    flavor = sys.modules[__name__]
    return MlflowModel.log(artifact_path=None, name=name, flavor=flavor, file=file, **options)


def save_model(
    file: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    signature: ModelSignature | None = None,
    input_example: Any = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
    mlflow_model: MlflowModel | None = None,
) -> None:
    """Writes an exported file as an MLflow model into the new folder `path`.

    signature         by default the features and columns of the contract. Integers that may be
                      missing are of any type there: in a DataFrame they are floating-point numbers
                      if one is missing, and MLflow refuses these for an integer. So are datetimes
    pip_requirements  by default sidecall in the version that runs, with ONNX Runtime if the file
                      needs it

    Raises what sidecall.open raises if the file does not open, and NoContract if it has no
    contract.
    """
    source = Path(file)
    with sidecall.open(source) as model:
        if not model.features:
            raise sidecall.errors.NoContract(
                f"file '{source}': expected a contract, as sidecall.export writes it"
            )
        signature = signature or _signature_of(model)
        needs_onnxruntime = not model.engine.startswith("native")
        model_id = model.id
    if pip_requirements is None:
        extra = "[onnxruntime]" if needs_onnxruntime else ""
        pip_requirements = [f"sidecall{extra}=={sidecall.__version__}", "pandas"]
    described = mlflow_model or MlflowModel()
    described.add_flavor(
        FLAVOR_NAME,
        data=f"data/{source.name}",
        sidecall_version=sidecall.__version__,
        model_id=model_id,
    )
    mlflow.pyfunc.save_model(
        str(path),
        loader_module=__name__,
        data_path=str(source),
        signature=signature,
        input_example=input_example,
        pip_requirements=list(pip_requirements),
        metadata=metadata,
        mlflow_model=described,
    )


def load_model(model_uri: str) -> sidecall.Model:
    """Opens the file of an MLflow model as a sidecall.Model.

    Raises MLflow's exceptions if there is no such model, or it was not saved by this flavour, and
    what sidecall.open raises.
    """
    from mlflow.tracking.artifact_utils import _download_artifact_from_uri
    from mlflow.utils.model_utils import _get_flavor_configuration

    folder = Path(_download_artifact_from_uri(model_uri))
    flavor = _get_flavor_configuration(str(folder), FLAVOR_NAME)  # type: ignore[no-untyped-call]
    return sidecall.open(folder / flavor["data"])


class _PyFunc:
    """What mlflow.pyfunc.load_model wraps."""

    def __init__(self, model: sidecall.Model) -> None:
        self.model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """The answers: a DataFrame for a DataFrame or an array, otherwise like Model.predict."""
        return self.model.predict(data)


def _load_pyfunc(path: str) -> _PyFunc:
    """MLflow calls this function with the path of the file."""
    return _PyFunc(sidecall.open(path))


def _signature_of(model: sidecall.Model) -> ModelSignature:
    # A table needs all columns; `required` says nothing about missing values.
    inputs: list[Any] = [ColSpec(_type_of(f), f.name) for f in model.features]
    outputs: list[Any] = [ColSpec(_TYPES[column.dtype], column.name) for column in model.columns]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _type_of(feature: sidecall.Feature) -> Any:
    # A datetime may be text, or a datetime of any unit; MLflow would take only one of them.
    if feature.dtype == "datetime" or (feature.dtype == "int64" and feature.nullable):
        return AnyType()  # type: ignore[no-untyped-call]
    return _TYPES[feature.dtype]
