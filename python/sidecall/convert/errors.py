"""The only error of sidecall.convert.

Every converter raises this error; export and `sidecall check` report its step and reason.
"""

from __future__ import annotations


class NotConvertible(ValueError):
    """A step cannot be converted to a graph that computes the same numbers.

    `step` is its path, such as "preprocess > cat > encoder (TargetEncoder)"; `reason` says why.
    """

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}" if step else reason)
        self.step = step
        self.reason = reason
