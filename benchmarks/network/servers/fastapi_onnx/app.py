"""FastAPI over onnxruntime, tuned: async endpoints, bytes in and out (orjson).

Only the model itself validates the input. approaches/rest.py runs it with uvicorn (uvloop and
httptools) and one worker.
"""

import models
from fastapi import FastAPI, Request, Response

app = FastAPI(openapi_url=None)


@app.post("/{name}")
async def predict(name: str, request: Request) -> Response:
    body = await request.body()
    if request.headers["content-type"] == "application/json":
        return Response(models.answer_json(name, body), media_type="application/json")
    return Response(models.answer_binary(name, body), media_type="application/octet-stream")
