"""The target figures. Used by run.py; benchmarks/README.md explains each of them."""

from collect import Collection
from common import Bar
from plan import Cell

ROW = Cell("gbm", 1)


def bars_of(collection: Collection) -> list[Bar]:
    """The bars whose approaches were measured in this run."""
    inside, shared = ("in-process", "native"), ("shm-native", "native")
    fastest_peer = ("grpc-cpp-unix", "native")
    asked = [
        (
            "rest_vs_inprocess",
            collection.smaller_ratio("rest-json", "in-process", ROW, ("native", "node")),
            100,
        ),
        (
            "grpc_vs_inprocess",
            collection.smaller_ratio("grpc-python-tcp", "in-process", ROW, ("native", "node")),
            100,
        ),
        ("cpp_grpc_vs_inprocess", collection.ratio(fastest_peer, inside, ROW), 10),
        ("cpp_grpc_vs_shm", collection.ratio(fastest_peer, shared, ROW), 5),
        (
            "triton_shm_vs_shm",
            collection.ratio(("triton-shm", "python"), ("shm-python", "python"), ROW),
            50,
        ),
    ]
    found = [
        Bar(name, value, limit, at_least=True) for name, value, limit in asked if value is not None
    ]
    return [*found, Bar("wrong_answers", float(collection.num_faults), 0)]
