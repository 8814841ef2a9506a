"""A progress bar for exports and comparisons that take longer than a second; needs rich."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

_PATIENCE_S = 1.0


class Progress:
    """Call `advance(rows)` after each batch. If all rows are measured again, the bar starts again.

    `total` is None if the number of rows is not known; the callback then gets 0 as the total.
    """

    def __init__(
        self,
        option: bool | Callable[[int, int], None] | None,
        total: int | None,
        label: str = "parity",
    ) -> None:
        self._callback = option if callable(option) else None
        self._wanted = option is True or (option is None and sys.stderr.isatty())
        self._total = total
        self._label = label
        self._done = 0
        self._started = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, rows: int) -> None:
        starts_again = self._total is not None and self._done >= self._total
        self._done = rows if starts_again else self._done + rows
        if self._callback is not None:
            self._callback(self._done, self._total or 0)
        elif self._wanted and (
            self._bar is not None or time.monotonic() - self._started > _PATIENCE_S
        ):
            self._draw()

    def _draw(self) -> None:
        if self._bar is None:
            try:
                from rich.console import Console
                from rich.progress import (
                    BarColumn,
                    MofNCompleteColumn,
                    TextColumn,
                    TimeRemainingColumn,
                )
                from rich.progress import Progress as Bar
            except ImportError:
                self._wanted = False
                return
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("rows"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.start()
        self._bar.update(self._task, completed=self._done)
