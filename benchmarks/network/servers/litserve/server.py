"""LitServe over onnxruntime, JSON: one API per workload, with one worker each. Usage: server.py
PORT WORKLOAD...
"""

import sys

import litserve
import models
import numpy as np


class Predict(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = models.model_of(self.api_path.removeprefix("/"))

    def decode_request(self, request: dict) -> object:
        return request if self.model.is_record else np.array(request[self.model.input], np.float32)

    def predict(self, asked: object) -> object:
        return self.model.answer_record(asked) if self.model.is_record else self.model.answer(asked)

    def encode_response(self, answers: object) -> dict:
        if self.model.is_record:
            return answers
        return {
            name: values.tolist() for name, values in zip(self.model.outputs, answers, strict=True)
        }


if __name__ == "__main__":
    port, *names = sys.argv[1:]
    server = litserve.LitServer(
        [Predict(api_path=f"/{name}") for name in names], accelerator="cpu", fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
