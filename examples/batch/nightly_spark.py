"""A nightly batch on Spark: scores the rows of Parquet files, and writes Parquet.

spark-submit nightly_spark.py flights.onnx rows/ out/ --keep id

Writes out/answers, which has all rows, and out/rejected, which has the rows without an answer. A
second run replaces both.
"""

import argparse

import sidecall.spark
from pyspark.sql import SparkSession


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores Parquet files on Spark.")
    parser.add_argument("model", help="the exported file")
    parser.add_argument("rows", help="a folder of Parquet files, on storage that all nodes reach")
    parser.add_argument("out", help="the folder for the answers, on the same storage")
    parser.add_argument("--keep", nargs="*", help="columns to copy in front of the answers")
    options = parser.parse_args()

    session = SparkSession.builder.appName("nightly").getOrCreate()
    rows = session.read.parquet(options.rows)
    scored = sidecall.spark.predict(rows, options.model, keep=options.keep)
    scored.write.mode("overwrite").parquet(f"{options.out}/answers")

    # Read back, so that the model answers each row only once.
    answers = session.read.parquet(f"{options.out}/answers")
    rejected = answers.where("error is not null")
    rejected.write.mode("overwrite").parquet(f"{options.out}/rejected")
    print(f"{answers.count()} rows, {rejected.count()} of them without an answer")


if __name__ == "__main__":
    main()
