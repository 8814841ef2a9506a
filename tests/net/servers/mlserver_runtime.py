"""MLServer's runtime for one ONNX file, which model-settings.json names."""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        self.names = [spec.name for spec in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {}
        for tensor in payload.inputs:
            if tensor.datatype == "BYTES":
                texts = np.array(StringCodec.decode_input(tensor), np.object_)
                inputs[tensor.name] = texts.reshape(tensor.shape)
            else:
                inputs[tensor.name] = NumpyCodec.decode_input(tensor)
        answers = self.session.run(self.names, inputs)
        outputs = []
        for name, array in zip(self.names, answers, strict=True):
            if array.dtype == np.object_:
                output = StringCodec.encode_output(name, array.ravel().tolist())
            else:
                output = NumpyCodec.encode_output(name, array)
            output.shape = list(array.shape)  # the codecs write a column instead of a vector
            outputs.append(output)
        return InferenceResponse(model_name=self.name, outputs=outputs)
