"""MLServer runtime over onnxruntime; its custom handlers take plain JSON instead of the V2
protocol.

approaches/mlserver.py runs `mlserver start` with it.
"""

import models
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler


class Predictor(MLModel):
    async def load(self) -> bool:
        return True

    async def answer(self, name: str, request: Request) -> Response:
        return Response(
            models.answer_json(name, await request.body()), media_type="application/json"
        )

    @custom_handler(rest_path="/gbm")
    async def gbm(self, request: Request) -> Response:
        return await self.answer("gbm", request)

    @custom_handler(rest_path="/null")
    async def null(self, request: Request) -> Response:
        return await self.answer("null", request)

    @custom_handler(rest_path="/image")
    async def image(self, request: Request) -> Response:
        return await self.answer("image", request)

    @custom_handler(rest_path="/penguins")
    async def penguins(self, request: Request) -> Response:
        return await self.answer("penguins", request)

    @custom_handler(rest_path="/forest")
    async def forest(self, request: Request) -> Response:
        return await self.answer("forest", request)
