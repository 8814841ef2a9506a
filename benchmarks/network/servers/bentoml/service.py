"""BentoML over onnxruntime, JSON: one endpoint per workload. approaches/bentoml.py runs `bentoml
serve` with it.
"""

from typing import Annotated, Any

import bentoml
import models
import numpy as np
from bentoml.validators import DType

Floats = Annotated[np.ndarray, DType("float32")]


def answer(name: str, rows: np.ndarray) -> dict[str, Any]:
    return {output: values.tolist() for output, values in models.answer_tensors(name, rows).items()}


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Predictor:
    @bentoml.api
    async def gbm(self, X: Floats) -> dict[str, Any]:  # noqa: N803 - the names of the models' inputs
        return answer("gbm", X)

    @bentoml.api
    async def null(self, x: Floats) -> dict[str, Any]:
        return answer("null", x)

    @bentoml.api
    async def image(self, image: Floats) -> dict[str, Any]:
        return answer("image", image)

    @bentoml.api
    async def forest(self, X: Floats) -> dict[str, Any]:  # noqa: N803
        return answer("forest", X)

    @bentoml.api
    async def penguins(
        self,
        island: str | None = None,
        bill_length_mm: float | None = None,
        bill_depth_mm: float | None = None,
        flipper_length_mm: float | None = None,
        body_mass_g: float | None = None,
        sex: str | None = None,
    ) -> dict[str, Any]:
        given = {name: value for name, value in locals().items() if name != "self"}
        return models.answer_record("penguins", given)
