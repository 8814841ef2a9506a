"""The building blocks of the converters.

They are tensors of a graph, frames of columns, numeric functions, trees and nearest rows.
"""
