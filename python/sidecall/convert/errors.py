"""The one error of sidecall.convert; raised by every converter, read by export and `sidecall check`."""

from __future__ import annotations


class NotConvertible(ValueError):
    """A step that cannot become a graph with the same numbers.

    `step` is its path, such as "preprocess > cat > encoder (TargetEncoder)"; `reason` says why.
    """

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}" if step else reason)
        self.step = step
        self.reason = reason
