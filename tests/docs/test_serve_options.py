"""Whatever declares the options of `sidecall serve` again agrees with serving/options.json."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import sidecall

ROOT = Path(__file__).resolve().parents[2]
OPTIONS: list[dict[str, Any]] = json.loads((ROOT / "serving/options.json").read_text())["options"]
SERVER_H = (ROOT / "include/sidecall/server.h").read_text()

UNITS = {"mib": 1 << 20, "seconds": 1}
"""One unit of an option of this kind, in the units of sidecall.serve."""


def keyword_of(row: dict[str, Any]) -> str | None:
    keyword: str | None = row.get("keyword", row["option"].replace("-", "_"))
    return keyword


def named(rows: Iterable[dict[str, Any]]) -> list[Any]:
    return [pytest.param(row, id=row["option"]) for row in rows]


def test_each_option_has_one_row_for_files_and_one_for_objects_at_most() -> None:
    for served in ("file", "object"):
        names = [row["option"] for row in OPTIONS if row.get("served", served) == served]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("row", named(row for row in OPTIONS if "default" in row))
def test_sidecall_serve_has_the_default_of_the_table(row: dict[str, Any]) -> None:
    parameter = inspect.signature(sidecall.serve).parameters[str(keyword_of(row))]
    default = row["default"]
    assert parameter.default == (
        default if isinstance(default, str) else default * UNITS.get(row["kind"], 1)
    )


def test_sidecall_serve_has_a_parameter_for_each_keyword() -> None:
    parameters = inspect.signature(sidecall.serve).parameters
    keywords = {keyword_of(row) for row in OPTIONS} - {None}
    assert keywords <= set(parameters)


def field_of_server_h(name: str) -> str:
    """The declaration of a field with its comment."""
    struct = SERVER_H.partition("typedef struct sidecall_server_options {")[2].partition("\n}")[0]
    found = re.search(rf"(?:/\*(?:(?!\*/).)*\*/\s*)?[^;]*\b{name};[^\n]*", struct, re.DOTALL)
    assert found, f"sidecall_server_options has no field {name}"
    return " ".join(found.group().split())


@pytest.mark.parametrize("row", named(row for row in OPTIONS if "field" in row))
def test_server_h_names_the_default_of_each_field(row: dict[str, Any]) -> None:
    field = field_of_server_h(row["field"])
    default = row.get("default")
    if default is None:
        return  # the struct has the field, and its comment says what the default depends on
    text = str(default)
    if row["kind"] == "mib":
        text = f"{default // 1024} GiB" if default % 1024 == 0 else f"{default} MiB"
    elif row["kind"] == "seconds":
        text += " s"
    assert re.search(rf"\b0 is {text}\b", field), field


SHM_NAMES = {"num_threads": "threads", "max_memory_bytes": "max_memory"}
"""Members of shm::ServerOptions whose name differs from that in sidecall_server_options."""

KEPT_ELSEWHERE = "drain-timeout"
"""Its default is in serving/server.cpp, because only a child process needs it."""


@pytest.mark.parametrize(
    "row",
    named(
        row
        for row in OPTIONS
        if "default" in row and "field" in row and row["option"] != KEPT_ELSEWHERE
    ),
)
def test_the_library_has_the_default_of_the_table(row: dict[str, Any]) -> None:
    name = SHM_NAMES.get(row["field"], row["field"])
    text = (ROOT / "shm/server/server.h").read_text()
    found = re.search(rf"\b{name} = (?:U?INT64_C\()?(\d+)\)?(?: << (\d+))?;", text)
    assert found, f"shm::ServerOptions has no default for {name}"
    unit = {"mib": 1 << 20, "seconds": 10**9}.get(row["kind"], 1)
    assert int(found[1]) << int(found[2] or 0) == row["default"] * unit


@pytest.mark.parametrize("row", named(row for row in OPTIONS if row["kind"] == "whole"))
def test_the_text_of_a_whole_number_names_its_bounds(row: dict[str, Any]) -> None:
    assert f"{row['least']} to {row['most']}" in row["help"]
