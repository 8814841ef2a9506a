"""Clusters of Ray and Spark on this machine, each with several nodes that can be killed.

Used by batch.py, by tests/clusters and by ../network/servers/ray_serve. Everything listens on
loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

ADDRESS = "127.0.0.1"
# Ray reads these when it is imported.
os.environ |= {
    # In spite of its name, this setting counts on Linux too. Without it, Ray replaces 127.0.0.1 by
    # the address of a network, and listens on every interface.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Ray Serve ends a proxy that is not ready after 5 s, which may last longer on a busy machine.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_USAGE_STATS_ENABLED": "0",
}
NODE = {"object_store_memory": 128 * 2**20, "node_ip_address": ADDRESS}


@contextmanager
def spark_cluster(executors: int) -> Iterator[Any]:
    """A session of Spark with a cluster of executors, each with one core."""
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.executor.memory": "1g",
        "spark.sql.session.timeZone": "UTC",
        "spark.task.maxFailures": "2",
        # A task for each file, however small it is.
        "spark.sql.files.openCostInBytes": "128m",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master(f"local-cluster[{executors},1,1024]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    application = session.sparkContext.applicationId
    try:
        yield session
    finally:
        session.stop()
        import pyspark

        # The logs of the executors, which Spark writes into the folder of its package.
        shutil.rmtree(Path(pyspark.__file__).parent / "work" / application, ignore_errors=True)


def executors_of(session: Any) -> list[psutil.Process]:
    """The processes of the executors: Java programs that the driver's JVM started."""
    import psutil

    driver = session.sparkContext._gateway.proc.pid
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended in the meantime
            if any("CoarseGrainedExecutorBackend" in word for word in process.cmdline()):
                found.append(process)
    return found


@contextmanager
def ray_cluster(nodes: int) -> Iterator[Any]:
    """A cluster of Ray: a head that computes nothing, and nodes with two CPUs each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **NODE},
    )
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=2, **NODE)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def raylets_of(cluster: Any) -> list[psutil.Process]:
    """The processes of the nodes that compute; each ends its workers when it ends."""
    import psutil

    started = (node.all_processes["raylet"][0].process for node in cluster.worker_nodes)
    return [psutil.Process(process.pid) for process in started if process.poll() is None]


def replace_killed_node(cluster: Any) -> None:
    """Waits until Ray knows that a node is gone, and adds another one.

    Until then, Ray may plan work for the node that is gone; the actors that read the footers of
    Parquet files are not started again elsewhere, so that a new job would fail.
    """
    import ray

    count = len(raylets_of(cluster))
    while sum(node["Alive"] for node in ray.nodes()) > 1 + count:
        time.sleep(0.5)
    cluster.add_node(num_cpus=2, **NODE)


def run_and_kill(
    job: Callable[[], object],
    is_time: Callable[[], bool],
    processes: Callable[[], list[psutil.Process]],
) -> None:
    """Runs a job, and kills one of the processes with SIGKILL as soon as it is time.

    Raises RuntimeError if the job was over before that.
    """
    is_over = threading.Event()
    killed: list[int] = []

    def kill() -> None:
        while not is_time() and not is_over.wait(0.02):
            pass
        alive = [] if is_over.is_set() else processes()
        for victim in alive[-1:]:
            victim.kill()
            killed.append(victim.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        job()
    finally:
        is_over.set()
        killer.join()
    if not killed:
        raise RuntimeError("expected a node to be killed during the job, got a job that was over")
