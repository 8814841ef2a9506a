"""Options of the command line, with the checks and the error texts of the native command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .option_table import Option


def add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    """Adds an option of serving/options.json to a parser."""
    # argparse takes a percent sign for the start of a placeholder.
    settings: dict[str, Any] = {"help": option.help.replace("%", "%%")}
    if option.kind == "flag":
        settings["action"] = "store_true"
    else:
        settings |= {"metavar": option.value, "default": option.default, "type": _type_of(option)}
    if option.kind in ("texts", "wholes"):
        settings |= {"action": "append", "default": []}
    parser.add_argument(f"--{option.name}", **settings)


def _type_of(option: Option) -> Callable[[str], Any]:
    match option.kind:
        case "choice":
            return lambda given: _choice(given, option.choices)
        case "whole" | "wholes":
            return lambda given: _whole_number(given, int(option.least), int(option.most))
        case "mib":
            return lambda given: _number(given, option.least, option.most)
        case "seconds" | "seconds_or_zero":
            return lambda given: _seconds(given, may_be_zero=option.kind == "seconds_or_zero")
        case _:
            return str


def _choice(given: str, choices: tuple[str, ...]) -> str:
    if given not in choices:
        *first, last = choices
        raise argparse.ArgumentTypeError(f"expected {', '.join(first)} or {last}, got {given!r}")
    return given


def _whole_number(given: str, least: int, most: int) -> int:
    is_number = given.isascii() and given.isdigit() and len(given) <= 18
    if not is_number or not least <= int(given) <= most:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {least} to {most}, got {given!r}"
        )
    return int(given)


def _number(given: str, least: float, most: float) -> float:
    number = _float(given)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(
            f"expected a number from {least:g} to {most:g}, got {given!r}"
        )
    return number


def _seconds(given: str, *, may_be_zero: bool) -> float:
    number = _float(given)
    if not 1e-9 <= number <= 1e9 and not (may_be_zero and number == 0):
        or_zero = " or 0" if may_be_zero else ""
        raise argparse.ArgumentTypeError(
            f"expected a positive number of seconds{or_zero}, got {given!r}"
        )
    return number


def _float(given: str) -> float:
    """The number in a text; NaN, which no bounds admit, if there is none."""
    try:
        return float(given)
    except ValueError:
        return float("nan")
