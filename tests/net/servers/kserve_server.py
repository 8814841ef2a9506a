"""KServe's Python server for ONNX files: kserve_server.py HTTP_PORT GRPC_PORT NAME=FILE..."""

import sys

import kserve
import numpy as np
import onnxruntime
from kserve.protocol.grpc import server as grpc_server
from kserve.protocol.rest.server import RESTServer

DATATYPES = {
    "tensor(string)": "BYTES",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(int64)": "INT64",
}


def tensors(specs: list) -> list[dict]:
    return [
        {
            "name": spec.name,
            "datatype": DATATYPES[spec.type],
            "shape": [size if isinstance(size, int) else -1 for size in spec.shape],
        }
        for spec in specs
    ]


class Runtime(kserve.Model):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)
        self.ready = True

    def get_input_types(self) -> list[dict]:
        return tensors(self.session.get_inputs())

    def get_output_types(self) -> list[dict]:
        return tensors(self.session.get_outputs())

    def predict(
        self, payload: kserve.InferRequest, headers: dict | None = None
    ) -> kserve.InferResponse:
        inputs = {}
        for tensor in payload.inputs:
            array = tensor.as_numpy()
            if array.dtype == np.object_:  # texts come as bytes over gRPC
                texts = [text.decode() if isinstance(text, bytes) else text for text in array.flat]
                array = np.array(texts, np.object_).reshape(array.shape)
            inputs[tensor.name] = array
        names = [spec.name for spec in self.session.get_outputs()]
        try:
            answers = self.session.run(names, inputs)
        except Exception as error:  # onnxruntime has no common class for its errors
            raise kserve.errors.InvalidInput(str(error)) from error
        outputs = []
        for described, array in zip(self.get_output_types(), answers, strict=True):
            output = kserve.InferOutput(described["name"], list(array.shape), described["datatype"])
            output.set_data_from_numpy(array, binary_data=payload.from_grpc)
            outputs.append(output)
        return kserve.InferResponse(payload.id, self.name, outputs)


def stay_on_this_host() -> None:
    """KServe listens at all addresses of a host, and has no option for another one."""
    make_rest, make_grpc = RESTServer.__init__, grpc_server.aio.server

    def rest(self: RESTServer, *words: object, **options: object) -> None:
        make_rest(self, *words, **options)
        self.config.host = "127.0.0.1"

    def grpc(*words: object, **options: object) -> object:
        server = make_grpc(*words, **options)
        listen = server.add_insecure_port
        server.add_insecure_port = lambda at: listen(at.replace("[::]", "127.0.0.1"))
        return server

    RESTServer.__init__, grpc_server.aio.server = rest, grpc


if __name__ == "__main__":
    stay_on_this_host()
    http_port, grpc_port, *models = sys.argv[1:]
    sys.argv[1:] = []  # KServe reads the command line too
    kserve.ModelServer(http_port=int(http_port), grpc_port=int(grpc_port)).start(
        [Runtime(*model.split("=", 1)) for model in models]
    )
