"""The engines that the file of a pipeline is opened with, and what is found about each.

Used by judge.py. The limits are the same for both engines. A file that the native engine refuses is
no failure: it is counted, by the operator for which it was refused. Files that the export did not
prove on the native engine are counted too, and not run there, because `auto` does not run them
there either.
"""

from __future__ import annotations

import re
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sidecall
from sidecall import errors
from sidecall.comparing.sides import ModelSide, OriginalSide

from .findings import Counts, Wrong

ENGINES: tuple[Literal["onnxruntime", "native"], ...] = ("onnxruntime", "native")

NOT_PROVEN = "the export did not prove the file on it"


@dataclass
class OneEngine:
    """One file on one engine; `wrong` has the rows for which its answers differ."""

    opened: sidecall.Model
    file: ModelSide | OriginalSide
    counts: Counts = field(default_factory=Counts)
    wrong: list[Wrong] = field(default_factory=list)


class Engines:
    """One file on every engine that runs it.

    `failed` has what is known about the native engine if it does not run the file. With ONNX
    Runtime, which has to run every file, such errors are raised.
    """

    def __init__(self, path: Path) -> None:
        self.failed: dict[str, dict[str, Any]] = {}
        self.models: dict[str, sidecall.Model] = {}
        self._stack = ExitStack()
        for engine in ENGINES:
            if engine == "native" and not self._is_proven():
                self.failed[engine] = {"outcome": "refused", "reason": NOT_PROVEN}
                continue
            try:
                opened = sidecall.open(path, engine=engine)
                self.models[engine] = self._stack.enter_context(opened)
            except Exception as error:
                self.fail(engine, error)

    def _is_proven(self) -> bool:
        """Whether the contract names the native engine, or says nothing about engines."""
        contract = self.models["onnxruntime"].contract or {}
        return "native" in contract.get("engines", {"native": ""})

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fail(self, engine: str, error: Exception) -> None:
        if engine == "onnxruntime":
            self._stack.close()
            raise error
        self.failed[engine] = failure(error)


def failure(error: Exception) -> dict[str, Any]:
    """What the document says of a file that an engine does not run."""
    if isinstance(error, errors.Unsupported):
        return {"outcome": "refused", "reason": without_names(error)}
    return defect(error, "native engine")


def defect(error: Exception, where: str) -> dict[str, Any]:
    """What the document says of a failure that no documented error covers."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    at_line = f"{Path(at.filename).name}:{at.lineno}"
    return {"outcome": "defect", "where": where, "reason": reason, "at": at_line}


def without_names(error: errors.Unsupported) -> str:
    """The operator that the native engine names, and the reason, such as "If: it has no ...".

    The names of the file and of the node are left out, so that equal reasons can be counted.
    """
    found = re.match(r"(?:file '.*?': )?(?:node '.*?' \(([^()]+)\))?(?:: )?(.*)", str(error))
    assert found is not None
    return ": ".join(part for part in found.groups() if part)
