"""A nightly batch on Ray Data: scores the rows of Parquet files, and writes Parquet.

python nightly_ray.py flights.onnx rows/ out/ --keep id

Writes out/answers, which has all rows, and out/rejected, which has the rows without an answer. A
second run replaces both. RAY_ADDRESS names the cluster; without it, Ray uses this machine.
"""

import argparse

import pyarrow.compute as pc
import ray
import sidecall.ray
from ray.data import SaveMode


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores Parquet files on Ray.")
    parser.add_argument("model", help="the exported file")
    parser.add_argument("rows", help="a folder of Parquet files, on storage that all nodes reach")
    parser.add_argument("out", help="the folder for the answers, on the same storage")
    parser.add_argument("--keep", nargs="*", help="columns to copy in front of the answers")
    options = parser.parse_args()

    rows = ray.data.read_parquet(options.rows)
    scored = sidecall.ray.predict(rows, options.model, keep=options.keep)
    scored.write_parquet(f"{options.out}/answers", mode=SaveMode.OVERWRITE)

    # Read back, so that the model answers each row only once.
    answers = ray.data.read_parquet(f"{options.out}/answers")
    rejected = answers.map_batches(
        lambda batch: batch.filter(pc.is_valid(batch["error"])), batch_format="pyarrow"
    ).materialize()
    rejected.write_parquet(f"{options.out}/rejected", mode=SaveMode.OVERWRITE)
    print(f"{answers.count()} rows, {rejected.count()} of them without an answer")


if __name__ == "__main__":
    main()
