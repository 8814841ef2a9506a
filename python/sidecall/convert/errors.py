"""The error for a step that sidecall.convert cannot convert.

Export and `sidecall check` report the step and the reason that the error holds.
"""

from __future__ import annotations


class NotConvertible(ValueError):
    """A step cannot be converted to a graph that computes the same numbers.

    `step` is the path of the step, such as "preprocess > cat > encoder (TargetEncoder)". `reason`
    says why.
    """

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}" if step else reason)
        self.step = step
        self.reason = reason
