"""Batches on Spark and Ray Data: rows per second of one core beside scikit-learn, and what a killed
node costs. `make bench-batch` runs it.

Both sides are the same pipeline in the same form: a function from a record batch (Spark's
mapInArrow) or a table (Ray Data's map_batches) to one, on one core. What is measured is the CPU
time that the function takes, conversions included, so that other programs of the machine do not
count. Both sides take turns. The bars are for trees of at most 10 levels; the table also has trees
without a limit.
"""

import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sidecall
from common import Bar, Report, describe_versions, guarded, make_parser, print_table
from scaleout.clusters import (
    executors_of,
    ray_cluster,
    raylets_of,
    replace_killed_node,
    run_and_kill,
    spark_cluster,
)
from scaleout.flights import FEATURES, answer, count_wrong, fit, read_flights
from sidecall._batches import Plan, make_plan
from sklearn.pipeline import Pipeline

BATCH_SIZES = (1_000, 10_000, 50_000)
ROUNDS = 3
MAX_DEPTH = 10  # of the trees for which the bars are
KILLS = 1
SECONDS = 2  # of each measurement of Ray Serve
FILES = 16
MEASURED = pa.schema([("rows", pa.int64()), ("seconds", pa.float64())])

Score = Callable[[Any], Any]


class Original:
    """The pipeline of scikit-learn on a batch, loaded once in a process."""

    def __init__(self, content: bytes) -> None:
        self.content, self.pipeline = content, None

    def __call__(self, batch: Any) -> Any:
        if self.pipeline is None:
            self.pipeline = pickle.loads(self.content)
        return type(batch).from_pandas(answer(self.pipeline, batch.to_pandas()))

    def __reduce__(self) -> tuple:
        return Original, (self.content,)


def timed(score: Score, batch: Any) -> Any:
    """The number of rows and the CPU time of one batch."""
    start = time.process_time()
    answers = score(batch)
    seconds = time.process_time() - start
    return type(batch).from_pydict(
        {"rows": [answers.num_rows], "seconds": [seconds]}, schema=MEASURED
    )


class Timed:
    """`timed` in an actor of Ray. The first call loads what the others use, and is not measured."""

    def __init__(self, score: Score) -> None:
        self.score, self.is_warm = score, False

    def __call__(self, batch: pa.Table) -> pa.Table:
        if not self.is_warm:
            self.score(batch.slice(0, 100))
            self.is_warm = True
        return timed(self.score, batch)


def on_spark(session: Any, rows: Any, score: Score, batch_size: int) -> pd.DataFrame:
    def measure(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        measured = Timed(score)
        return map(measured, batches)

    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", batch_size)
    return rows.mapInArrow(measure, "rows long, seconds double").toPandas()


def on_ray(rows: Any, score: Score, batch_size: int) -> pd.DataFrame:
    import ray

    return rows.map_batches(
        Timed,
        fn_constructor_args=[score],
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).to_pandas()


def compare(
    engine: str, run: Callable[[Score, int], pd.DataFrame], sides: dict, max_depth: int | None
) -> list[dict]:
    """Rows per second of CPU time for each side and batch size, the best of several rounds."""
    found = []
    for batch_size in BATCH_SIZES:
        best = dict.fromkeys(sides, 0.0)
        for _ in range(ROUNDS):
            for name, score in sides.items():
                measured = run(score, batch_size).sum()
                best[name] = max(best[name], measured["rows"] / measured["seconds"])
        for name, speed in best.items():
            row = {"engine": engine, "max_depth": max_depth, "approach": name}
            row |= {"batch_size": batch_size, "rows_per_cpu_second": round(speed)}
            found.append(row)
            print(found[-1], flush=True)
    return found


def ratio(rows: list[dict], engine: str) -> float:
    """Our speed by that of scikit-learn, each with the batch size that is best for it."""
    best = {"sidecall": 0, "scikit-learn": 0}
    for row in rows:
        if row["engine"] == engine and row["max_depth"] == MAX_DEPTH:
            best[row["approach"]] = max(best[row["approach"]], row["rows_per_cpu_second"])
    return best["sidecall"] / best["scikit-learn"]


def batching_replica() -> type:
    """A replica that waits for other requests, as Ray's documentation shows it."""
    from ray import serve

    class Batching:
        def __init__(self, plan: Plan) -> None:
            self.model = plan.open()

        @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.002)
        async def predict(self, records: list) -> list:
            return self.model.predict(records)

    return Batching


def compare_batching(plan: Plan, records: list[dict], seconds: float) -> list[dict]:
    """Calls per second of one replica that answers at once, and of one with `@serve.batch`."""
    from ray import serve
    from sidecall.ray import _Replica

    serve.start(proxy_location="Disabled")
    handles = {}
    for name, kind in (("at once", _Replica), ("@serve.batch", batching_replica())):
        made = serve.deployment(name=name, ray_actor_options={"num_cpus": 0})(kind)
        handles[name] = serve.run(made.bind(plan), name=name, route_prefix=None)
    best = {(name, callers): 0.0 for callers in (1, 16, 64) for name in handles}
    for _ in range(ROUNDS):
        for name, callers in best:
            speed = calls_per_second(handles[name], records, callers, seconds)
            best[name, callers] = max(best[name, callers], speed)
    serve.shutdown()
    return [
        {"approach": name, "callers": callers, "calls_per_second": round(speed)}
        for (name, callers), speed in best.items()
    ]


def calls_per_second(handle: Any, records: list[dict], callers: int, seconds: float) -> float:
    start = time.perf_counter()

    def call(caller: int) -> int:
        count = 0
        while time.perf_counter() - start < seconds:
            handle.predict.remote(records[(caller + count) % len(records)]).result()
            count += 1
        return count

    with ThreadPoolExecutor(callers) as pool:
        return sum(pool.map(call, range(callers))) / (time.perf_counter() - start)


def wrong_after_kills(
    job: Callable[[Path], None], nodes: Callable[[], list], expected: pd.DataFrame, folder: Path
) -> int:
    """Runs jobs, kills a node in the middle of each, and counts the rows that are not right."""
    wrong = 0
    for number in range(KILLS):
        out = folder / str(number)
        run_and_kill(partial(job, out), lambda out=out: any(out.rglob("*.parquet")), nodes)
        wrong += count_wrong(pd.read_parquet(out), expected)
    return wrong


def measure_spark(
    folder: Path, sides: dict, deep: dict, expected: pd.DataFrame
) -> tuple[list[dict], int]:
    import sidecall.spark

    with spark_cluster(2) as session:
        rows = session.read.parquet(str(folder / "rows"))
        one = rows.select("id", *FEATURES).coalesce(1).cache()
        one.count()
        run = partial(on_spark, session, one)
        found = compare("Spark", run, sides, MAX_DEPTH) + compare("Spark", run, deep, None)
        one.unpersist()

        def job(out: Path) -> None:
            scored = sidecall.spark.predict(rows, folder / "flights.onnx", keep=["id"])
            scored.write.parquet(str(out))

        wrong = wrong_after_kills(job, lambda: executors_of(session), expected, folder / "spark")
    return found, wrong


def measure_ray(
    folder: Path, sides: dict, plan: Plan, expected: pd.DataFrame
) -> tuple[list[dict], list[dict], int]:
    with ray_cluster(2) as cluster:
        import ray
        import sidecall.ray

        table = pa.Table.from_pandas(
            pd.read_parquet(folder / "rows")[["id", *FEATURES]], preserve_index=False
        )
        found = compare("Ray Data", partial(on_ray, ray.data.from_arrow(table)), sides, MAX_DEPTH)
        records = table.slice(0, 1000).drop_columns(["id"]).to_pylist()
        served = compare_batching(plan, records, SECONDS)

        def job(out: Path) -> None:
            rows = ray.data.read_parquet(str(folder / "rows"))
            scored = sidecall.ray.predict(rows, folder / "flights.onnx", keep=["id"])
            scored.write_parquet(str(out))
            replace_killed_node(cluster)

        wrong = wrong_after_kills(job, lambda: raylets_of(cluster), expected, folder / "ray")
    return found, served, wrong


def both_sides(
    frame: pd.DataFrame, file: Path, max_depth: int | None
) -> tuple[Plan, dict[str, Score], Pipeline]:
    """Fits and exports a pipeline: what a worker of sidecall and one of scikit-learn run."""
    pipeline = fit(frame, 20_000, max_depth=max_depth)
    sidecall.export(pipeline, file, frame[FEATURES].iloc[:2000])
    plan = make_plan(file, file.read_bytes(), ["id"], "error")
    sides = {"scikit-learn": Original(pickle.dumps(pipeline)), "sidecall": plan.answer}
    return plan, sides, pipeline


def main() -> int:
    parser = make_parser(__doc__.splitlines()[0], "scaleout", "not used; all benchmarks have it")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = sys.path[0]  # for the workers
    frame = read_flights()
    rows = frame.drop(columns="arr_delay").iloc[: 20_000 if options.quick else 60_000]
    report = Report("scaleout", describe_versions(["pyspark", "ray", "scikit-learn", "pyarrow"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows").mkdir()
        for index in range(FILES):
            rows.iloc[index::FILES].to_parquet(folder / f"rows/{index}.parquet", index=False)
        plan, sides, pipeline = both_sides(frame, folder / "flights.onnx", MAX_DEPTH)
        _, deep, _ = both_sides(frame, folder / "deep.onnx", None)
        expected = answer(pipeline, rows)
        spark_rows, wrong_on_spark = measure_spark(folder, sides, deep, expected)
        ray_rows, served, wrong_on_ray = measure_ray(folder, sides, plan, expected)
    found = spark_rows + ray_rows
    report.tables = {"batch": found, "ray_serve": served}
    report.bars = [
        Bar("spark_vs_sklearn", ratio(found, "Spark"), 3, at_least=True),
        Bar("ray_vs_sklearn", ratio(found, "Ray Data"), 3, at_least=True),
        Bar("batch_rows_wrong", wrong_on_spark + wrong_on_ray, 0),
    ]
    for rows in (found, served):
        print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
        print()
    report.print_bars()
    report.write(options.output, keep_others=True)
    return 1 if wrong_on_spark + wrong_on_ray else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
