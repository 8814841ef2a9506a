"""Pipelines that public documentation shows, to be exported and compared with their originals."""

from .catalogue import Example, examples

__all__ = ["Example", "examples"]
