"""KServe's own clients call a server. Arguments: its address for HTTP, and its one for gRPC."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

TEXTS = {"island": "Biscoe", "sex": "male"}
NUMBERS = {
    "bill_length_mm": 40,
    "bill_depth_mm": 18,
    "flipper_length_mm": 190,
    "body_mass_g": 4000,
    "year": 2008,
}


def request(is_binary: bool) -> InferRequest:
    inputs = []
    for name, value in (TEXTS | NUMBERS).items():
        datatype, kind = ("BYTES", np.object_) if name in TEXTS else ("FP32", np.float32)
        inputs.append(InferInput(name, [1, 1], datatype))
        inputs[-1].set_data_from_numpy(np.array([[value]], kind), binary_data=is_binary)
    return InferRequest("penguins", inputs)


def label(answer: Any) -> str:
    (text,) = next(each for each in answer.outputs if each.name == "label").as_numpy()
    return text.decode() if isinstance(text, bytes) else str(text)


async def call_http(base: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    print(await client.is_server_live(base), await client.is_server_ready(base))
    print(await client.is_model_ready(base, "penguins"))
    for is_binary in (True, False):
        print(label(await client.infer(base, request(is_binary), model_name="penguins")))
    try:
        await client.infer(base, request(True), model_name="other")
    except Exception as error:
        print(error.response.status_code)
    await client.close()


async def call_grpc(target: str) -> None:
    client = InferenceGRPCClient(target)
    print(await client.is_server_live(), await client.is_server_ready())
    print(await client.is_model_ready("penguins"))
    for is_binary in (True, False):
        print(label(await client.infer(request(is_binary))))
    try:
        await client.infer(InferRequest("other", []))
    except Exception as error:
        print(error.code().value[0])
    await client.close()


async def main() -> None:
    await call_http(sys.argv[1])
    await call_grpc(sys.argv[2])


asyncio.run(main())
