"""Draws random pipelines over the columns of real tables."""
