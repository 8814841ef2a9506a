"""A sample of the functions of integers that `make parity` judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.integers import EXPRESSIONS, WIDTHS, Function, functions, judge

SAMPLE = ("d[['a']] * c", "(d['a'] - d['b']).to_frame()", "d[['a']].fillna(3) * c")


@pytest.mark.parametrize("width", ["int8", "uint16", "int32", "Int8"])
def test_functions_answer_as_python_at_the_ends_of_their_types(width: str, tmp_path: Path) -> None:
    for k, expression in enumerate(SAMPLE):
        result = judge(Function(width, expression, refuses=k == 0), tmp_path)
        assert result["outcome"] in ("compared", "refused"), result
        assert not result["wrong"]
        assert result["outcome"] == "refused" or result["rows"] > 20


def test_there_are_functions_of_every_width() -> None:
    assert len(EXPRESSIONS) * len(WIDTHS) == len(list(functions())) > 200
    assert {function.width for function in functions()} == set(WIDTHS)
