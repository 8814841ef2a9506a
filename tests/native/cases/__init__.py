"""The cases of all operators. Importing this package adds them to operator_cases.CASES."""

from cases import elementwise, layout, ml, reduction, svm, trees

__all__ = ["elementwise", "layout", "ml", "reduction", "svm", "trees"]
