"""The machinery that every converter uses: tensors of a graph, frames of columns, numeric functions, trees, nearest rows."""
