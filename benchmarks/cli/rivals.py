"""Answers a CSV file in bounded memory with onnxruntime and pandas or pyarrow.

This is what a Python programmer would write without sidecall. Usage: rivals.py pandas|pyarrow MODEL
IN OUT
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

ROWS = 20_000  # rows per chunk: the fastest for pandas between 2 000 and 100 000


def open_session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def with_pandas(session: onnxruntime.InferenceSession, source: str, target: str) -> None:
    import pandas as pd

    with Path(target).open("w", encoding="utf-8") as out:
        for number, chunk in enumerate(pd.read_csv(source, dtype=np.float64, chunksize=ROWS)):
            label, probabilities = session.run(None, {"X": chunk.to_numpy()})
            answers = {"label": label} | {
                f"probabilities.{i}": column for i, column in enumerate(probabilities.T)
            }
            pd.DataFrame(answers).to_csv(out, index=False, header=number == 0)


def with_pyarrow(session: onnxruntime.InferenceSession, source: str, target: str) -> None:
    import pyarrow as pa
    from pyarrow import csv

    pa.set_cpu_count(1)
    names = csv.open_csv(source).schema.names
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()))
    schema = pa.schema(
        [
            ("label", pa.int64()),
            ("probabilities.0", pa.float64()),
            ("probabilities.1", pa.float64()),
        ]
    )
    read = csv.ReadOptions(use_threads=False, block_size=4 << 20)
    with (
        csv.open_csv(source, read_options=read, convert_options=convert) as batches,
        csv.CSVWriter(target, schema) as out,
    ):
        for batch in batches:
            label, probabilities = session.run(
                None, {"X": np.stack([column.to_numpy() for column in batch.columns], axis=1)}
            )
            out.write_batch(
                pa.record_batch([label, *map(np.ascontiguousarray, probabilities.T)], schema=schema)
            )


if __name__ == "__main__":
    approach, model, source, target = sys.argv[1:]
    {"pandas": with_pandas, "pyarrow": with_pyarrow}[approach](open_session(model), source, target)
