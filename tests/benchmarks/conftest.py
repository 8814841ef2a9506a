"""Marks all tests of the benchmarks as long.

They need what the benchmarks need (the extra `bench`), so their files are not even imported where
long tests are left out.
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for load_module.py


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return True if config.option.markexpr == "not long" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.long)
