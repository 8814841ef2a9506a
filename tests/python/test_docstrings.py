"""Every example in a docstring runs and gives its output; every public object has a docstring."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import pytest
import sidecall
from sidecall import _call, _engine, _model, comparing, errors, serving
from sidecall.comparing import run as comparing_run
from sidecall.serving import run as serving_run

MODULES = [_call, _engine, _model, errors, serving, comparing_run, serving_run]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module, request: pytest.FixtureRequest) -> None:
    tests = [
        test
        for test in doctest.DocTestFinder().find(
            module, extraglobs={"getfixture": request.getfixturevalue}
        )
        if test.examples
    ]
    assert tests
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        assert runner.run(test).failed == 0, test.name


def test_public_objects_have_docstrings() -> None:
    for name in sidecall.__all__:
        thing = getattr(import_module("sidecall"), name)
        assert inspect.getdoc(thing), name
    for kind in (sidecall.Model, sidecall.Call, sidecall.Server, comparing.Comparison):
        for name, member in vars(kind).items():
            if not name.startswith("_"):
                assert inspect.getdoc(member), f"{kind.__name__}.{name}"
