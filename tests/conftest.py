"""Rules for every pytest of the project.

With SIDECALL_REQUIRE=all, as in CI, a skip is a failure. Models are fitted alike in every run.
"""

import os
import random
from collections.abc import Callable, Generator
from pathlib import Path

# Several processes test at once. Threads of libraries that wait for each other would only take the
# processors from them. Set before the libraries are loaded.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

# Programs under test may run pytest themselves. That pytest is not a worker of this run.
for variable in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(variable, None)

REQUIRE_ALL = os.environ.get("SIDECALL_REQUIRE") == "all"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"SIDECALL_REQUIRE=all: skipped: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seeds numpy's global generator, which estimators with random_state=None draw from.

    Otherwise a tie between two classes could be decided differently from run to run.
    """
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def network_library() -> Path:
    """libsidecall-net.so of the build, which all models on other hosts then use."""
    path = Path(__file__).parents[1] / "build/lib/libsidecall-net.so"
    named = Path(os.environ.setdefault("SIDECALL_NET", str(path)))
    assert named.is_file(), f"{named}: expected the library that 'make net' builds"
    return named


# Shared memory of servers that benchmark tests start; these tests may run at the same time.
OTHERS_IN_SHARED_MEMORY = ("triton_", "iceoryx", "sem.", "joblib_")


@pytest.fixture
def shared_memory() -> Callable[[], set[str]]:
    """Returns a function that lists the names in /dev/shm without those of other programs."""
    return lambda: {
        path.name
        for path in Path("/dev/shm").iterdir()
        if not path.name.startswith(OTHERS_IN_SHARED_MEMORY)
    }
