"""Compares a pipeline with its exported file on adversarial rows, on both engines."""
