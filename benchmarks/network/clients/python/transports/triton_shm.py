"""Triton with input and outputs in its system shared memory.

The regions are registered once; calls over HTTP refer to them. One client and two regions per
thread.
"""

import os
from itertools import count
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.utils.shared_memory as shm

from transports import CALL_TIMEOUT_S, BaseTransport, Connection

numbers = count()


class Transport(BaseTransport):
    def connect(self, crowded: bool = False) -> Connection:
        client = triton.InferenceServerClient(self.at["url"], network_timeout=CALL_TIMEOUT_S)
        folder = self.folder
        example = folder.row(0)
        name = f"bench-{os.getpid()}-{next(numbers)}"
        region = shm.create_shared_memory_region(name, f"/{name}", example.nbytes)
        answers, places, offset = [], [], 0
        for output in folder.outputs:
            shape = (folder.rows, *output["dims"])
            size = int(np.prod(shape)) * np.dtype(output["dtype"]).itemsize
            places.append((output["name"], np.dtype(output["dtype"]), shape, offset, size))
            offset += size
        out_name = f"{name}-out"
        out_region = shm.create_shared_memory_region(out_name, f"/{out_name}", offset)
        client.register_system_shared_memory(name, f"/{name}", example.nbytes)
        client.register_system_shared_memory(out_name, f"/{out_name}", offset)
        sent = triton.InferInput(folder.input_name, example.shape, "FP32")
        sent.set_shared_memory(name, example.nbytes)
        for output, _, _, at, size in places:
            wanted = triton.InferRequestedOutput(output, binary_data=True)
            wanted.set_shared_memory(out_name, size, at)
            answers.append(wanted)

        def call(rows: np.ndarray) -> dict[str, Any]:
            shm.set_shared_memory_region(region, [rows])
            client.infer(folder.name, [sent], outputs=answers)
            # Copy the outputs, because the next call overwrites the region.
            return {
                output: shm.get_contents_as_numpy(out_region, dtype, shape, at).copy()
                for output, dtype, shape, at, _ in places
            }

        def close() -> None:
            for known in (name, out_name):
                client.unregister_system_shared_memory(known)
            client.close()
            shm.destroy_shared_memory_region(region)
            shm.destroy_shared_memory_region(out_region)

        return Connection(call, close)
