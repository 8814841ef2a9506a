"""gRPC server in Python (grpcio): prediction.proto over the models of models.py. Usage: server.py
ADDRESS...
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import models
import numpy as np
import prediction_pb2 as messages
import prediction_pb2_grpc as service


class Prediction(service.PredictionServicer):
    def Predict(self, request, context):  # noqa: N802 - named by the protocol
        answers = models.answer_tensors(
            request.model,
            np.fromiter(request.values, np.float32, len(request.values)).reshape(request.shape),
        )
        label = answers.pop("label", ())
        (values,) = answers.values()
        return messages.PredictResponse(label=label, values=values.ravel().tolist())

    def PredictRecord(self, request, context):  # noqa: N802
        record = {
            name: value.text if value.HasField("text") else value.number
            for name, value in request.features.items()
        }
        return messages.RecordResponse(**models.answer_record(request.model, record))


server = grpc.server(ThreadPoolExecutor(10))
service.add_PredictionServicer_to_server(Prediction(), server)
for address in sys.argv[1:]:
    server.add_insecure_port(address)
server.start()
server.wait_for_termination()
