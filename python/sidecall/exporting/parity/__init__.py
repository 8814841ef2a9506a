"""Comparison of a graph's answers with those of the model."""
