"""The folder of the test vectors, and the backends that run them."""

from __future__ import annotations

from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors"
MODELS = VECTORS / "models"
BACKENDS = ("native", "cffi")
