"""The machinery that every converter uses.

Tensors of a graph, frames of columns, numeric functions, trees, nearest rows.
"""
