"""Fixtures of the tests of deploy/: an engine for containers, and images made as the page says.

All tests here are long. They need what `make test-long` installs, so their files are not even
imported where long tests are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Engine, Images, assemble, onnxruntime, reason_to_skip

HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return True if config.option.markexpr == "not long" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with the images `sidecall` and `sidecall-native`."""
    if (reason := reason_to_skip()) is not None:
        pytest.skip(reason)
    # A short path, because the sockets of podman are below it.
    with tempfile.TemporaryDirectory(prefix="sidecall-", dir="/tmp") as name:
        made = Engine(Path(name))
        try:
            made.build(assemble(made.folder / "native"), "sidecall-native")
            full = ["--net", "--onnxruntime", onnxruntime()]
            made.build(assemble(made.folder / "full", *full), "sidecall")
            yield made
        finally:
            made.close()


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    return Images(engine)
