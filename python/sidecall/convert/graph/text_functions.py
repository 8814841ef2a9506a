"""The functions of a model that count the terms of texts, and that compute with these counts.

ONNX Runtime runs the nodes of their bodies. The native engine knows these functions by the SHA-256
of their bodies (engines/native/text/functions.cpp), and computes them by itself. So a body must not
depend on the model: everything that belongs to the model is an attribute of the calling node. If a
body changes, its hash in the native engine must change with it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import onnx
from onnx import AttributeProto

from .builder import Attribute, Graph, Tensor

DOMAIN = "sidecall.text"
# A Unicode non-character that means "not in the table" between two nodes. It is never part of a
# text.
ABSENT = "\ufdd2"

# What is counted: characters, words, or the words that are not stop words.
TokenUnit = Literal["characters", "words", "kept_words"]
_NAMES = {"characters": "Characters", "words": "Words", "kept_words": "KeptWords"}
# What stands between the tokens of a term in `terms`. No term contains it otherwise.
SEPARATORS = {"characters": ABSENT, "words": " ", "kept_words": " "}

_INTEGER, _INTEGERS = AttributeProto.INT, AttributeProto.INTS
_TEXT, _TEXTS = AttributeProto.STRING, AttributeProto.STRINGS


@cache
def counting_function(unit: TokenUnit, replaces: bool) -> onnx.FunctionProto:
    """Texts [N] -> counts [N, columns], float32.

    Attributes, if `replaces`: each character of `characters` is replaced by the text in
    `replacements`; every other one by `otherwise`, unless that is ABSENT. `special` is the class of
    non-ASCII characters that change, and `ascii_case` is LOWER or NONE.

    For words: `token` is a regular expression; for kept words also `stop_words`. For characters:
    `spaces` lists the whitespace; two or more whitespace characters count as one space, as in
    scikit-learn's CountVectorizer.

    Sequences of tokens: those of `gram_tokens`, sorted by length, are counted in `gram_columns`.
    `gram_starts` has the position in `gram_tokens` of the first sequence of each length, in tokens.
    """
    g = Graph("float32")
    text = Tensor(g, "text", "string", None)
    tokens = _tokens_of_unit(g, text, unit, replaces)
    counts = g.op(
        "TfIdfVectorizer",
        tokens,
        dtype="float32",
        mode="TF",
        max_skip_count=0,
        min_gram_length=Attribute("shortest_gram", _INTEGER),
        max_gram_length=Attribute("longest_gram", _INTEGER),
        ngram_counts=Attribute("gram_starts", _INTEGERS),
        ngram_indexes=Attribute("gram_columns", _INTEGERS),
        pool_strings=Attribute("gram_tokens", _TEXTS),
    )
    counts = _after_first(g, counts, 0)
    return g.function(
        DOMAIN, ("Replace" if replaces else "") + "Count" + _NAMES[unit], [text], [counts]
    )


@cache
def listing_function(unit: TokenUnit, replaces: bool) -> onnx.FunctionProto:
    """Texts [N] -> the same counts as a sparse matrix: `row`, `column` and `count` of those that
    are not zero, [K] each, in the order of rows and columns; and `rows`, the list [N].

    The attributes are those of counting_function, but for those of the sequences of tokens.
    Instead, each text of `terms` is a sequence of at most `longest_gram` tokens, with the separator
    of the unit between them (SEPARATORS), whose column is in `term_columns`. `width` is the number
    of columns.
    """
    g = Graph("float32")
    text = Tensor(g, "text", "string", None)
    tokens = _tokens_of_unit(g, text, unit, replaces)
    found = _after_first(g, _columns_of_terms(g, tokens, SEPARATORS[unit]), 1)
    places = g.op("NonZero", found >= 0, dtype="int64")
    at = g.op("Slice", places, g.const([1]), g.const([2]), g.const([0]))
    row = g.op("Squeeze", at, g.const([0]))
    column = g.op("GatherND", found, g.transpose(places))
    # One number for each place of the matrix. The first row is added, so that there is a number
    # even if no text has a term; it is not counted.
    width = _integer(g, "width")
    numbers = g.op("Concat", g.const([0]), (row + 1) * width + column, axis=0)
    number, _, _, count = g.ops("Unique", [numbers], [("int64", None)] * 4, axis=0, sorted=1)
    number, count = _after_first(g, number, 0), _after_first(g, count, 0)
    row = g.op("Div", number, width)
    outputs = [row - 1, number - row * width, g.cast(count, "float32"), g.rows_of(text)]
    return g.function(
        DOMAIN, ("Replace" if replaces else "") + "List" + _NAMES[unit], [text], outputs
    )


# Functions of sparse matrices, whose first inputs are outputs of listing_function. A row that they
# do not list has only zeros.


@cache
def damping_function() -> onnx.FunctionProto:
    """Values [K] -> the values 1 + log(value)."""
    g = Graph("float32")
    value = Tensor(g, "value", "float32", None)
    one = _number_like(g, 1.0, value)
    return g.function(DOMAIN, "DampTerms", [value], [g.log(value) + one])


@cache
def scaling_function() -> onnx.FunctionProto:
    """Columns, values [K], and a weight for each column -> the products of values and weights."""
    g = Graph("float32")
    column = Tensor(g, "column", "int64", None)
    value, weights = (Tensor(g, name, "float32", None) for name in ("value", "weights"))
    return g.function(
        DOMAIN, "ScaleTerms", [column, value, weights], [value * g.gather(weights, column)]
    )


@cache
def normalizing_function() -> onnx.FunctionProto:
    """Rows, values [K], the number of rows [1], `least` and `one` -> the values, divided by the
    Euclidean length of their row, or by `one` if the length is below `least`.
    """
    g = Graph("float32")
    row, rows = (Tensor(g, name, "int64", None) for name in ("row", "rows"))
    value, least, one = (Tensor(g, name, "float32", None) for name in ("value", "least", "one"))
    zeros = g.op("Expand", _number_like(g, 0.0, value), rows)
    squares = g.op("ScatterElements", zeros, row, value * value, axis=0, reduction="add")
    length = g.sqrt(squares)
    length = g.where(length < least, one, length)
    return g.function(
        DOMAIN, "NormalizeTerms", [row, value, rows, least, one], [value / g.gather(length, row)]
    )


@cache
def multiplying_function() -> onnx.FunctionProto:
    """Rows, columns, values [K], the number of rows [1], weights [columns, M] and a bias [M] -> the
    product of the matrix and the weights, plus the bias, [N, M].
    """
    g = Graph("float32")
    row, column, rows = (Tensor(g, name, "int64", None) for name in ("row", "column", "rows"))
    value, weights, bias = (
        Tensor(g, name, "float32", None) for name in ("value", "weights", "bias")
    )
    products = g.gather(weights, column) * g.column(value)
    shape = g.op("Concat", rows, g.op("Shape", bias, dtype="int64"), axis=0)
    zeros = g.op("Expand", _number_like(g, 0.0, value), shape)
    places = g.op("Expand", g.column(row), g.op("Shape", products, dtype="int64"))
    sums = g.op("ScatterElements", zeros, places, products, axis=0, reduction="add")
    return g.function(
        DOMAIN, "MultiplyTerms", [row, column, value, rows, weights, bias], [sums + bias]
    )


def _number_like(g: Graph, number: float, like: Tensor) -> Tensor:
    return g.op("CastLike", g.const(number), like)


def _integer(g: Graph, name: str) -> Tensor:
    """The value of an attribute of the function, a scalar."""
    return g.ops("Constant", [], [("int64", None)], value_int=Attribute(name, _INTEGER))[0]


def _after_first(g: Graph, x: Tensor, axis: int) -> Tensor:
    """x without its first element along the axis."""
    last = g.const([np.iinfo("int64").max])
    return g.op("Slice", x, g.const([1]), last, g.const([axis]))


def _tokens_of_unit(g: Graph, text: Tensor, unit: TokenUnit, replaces: bool) -> Tensor:
    """The tokens of each text, behind a row for a text of its own; shorter rows have empty ones."""
    # Add one text, so that no node receives an empty batch or only empty texts. The row of this
    # text is removed later.
    padded = g.op("Concat", g.const(["a"]), text, axis=0)
    if replaces:
        padded = _replaced(g, padded)
    if unit == "characters":
        return _joined_spaces(g, _with_empty_token(g, _tokens(g, padded, "(?s).")))
    tokens = _with_empty_token(g, _tokens(g, padded, Attribute("token", _TEXT)))
    if unit == "kept_words":
        return _dropped(g, tokens, _is_in(g, tokens, Attribute("stop_words", _TEXTS)))
    return tokens


def _columns_of_terms(g: Graph, tokens: Tensor, separator: str) -> Tensor:
    """The column of the sequence of k tokens that begins at each token, [longest_gram, rows,
    tokens]; -1 if it is no term.
    """
    inner = g.branch()
    number, going, grams, rest = (
        Tensor(inner, inner.fresh("b"), t, None) for t in ("int64", "bool", "string", "string")
    )
    columns = inner.op(
        "LabelEncoder",
        grams,
        domain="ai.onnx.ml",
        dtype="int64",
        keys_strings=Attribute("terms", _TEXTS),
        values_int64s=Attribute("term_columns", _INTEGERS),
        default_int64=-1,
    )
    following = _with_empty_token(inner, _after_first(inner, rest, 1))
    longer = inner.op("StringConcat", grams, inner.const(separator))
    longer = inner.op("StringConcat", longer, following)
    more = inner.op("Identity", going)
    body = inner.body(
        "longer",
        [(number, []), (going, []), (grams, [None, None]), (rest, [None, None])],
        [
            (more, []),
            (longer, [None, None]),
            (following, [None, None]),
            (columns, [None, None]),
        ],
    )
    g.inner_domains.add("ai.onnx.ml")
    outputs: list[tuple[str, int | None]] = [("string", None), ("string", None), ("int64", None)]
    start = (_integer(g, "longest_gram"), None, tokens, tokens)
    return g.ops("Loop", start, outputs, body=body)[2]


def _tokens(g: Graph, text: Tensor, expression: str | Attribute) -> Tensor:
    return g.op(
        "Tokenizer",
        text,
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value="",
        tokenexp=expression,
    )


def _has_columns(g: Graph, x: Tensor, more_than: int) -> Tensor:
    """Whether a matrix has more columns than that, a scalar."""
    columns = g.op("Shape", x, dtype="int64", start=1, end=2)
    return g.op("Squeeze", g.op("Greater", columns, g.const([more_than]), dtype="bool"))


def _is_in(g: Graph, tokens: Tensor, words: Attribute) -> Tensor:
    """1 for each token that is one of the words, otherwise 0."""
    found = g.op(
        "LabelEncoder",
        tokens,
        domain="ai.onnx.ml",
        keys_strings=words,
        values_strings=words,
        default_string=ABSENT,
    )
    absent = g.op("Equal", found, g.const(ABSENT), dtype="bool")
    return g.cast(g.op("Not", absent), "int64")


def _replaced(g: Graph, text: Tensor) -> Tensor:
    """Replaces the characters of each text.

    If no text contains a special character, the graph takes a faster path without the table.
    """
    special = _has_columns(g, _tokens(g, text, Attribute("special", _TEXT)), more_than=0)
    quick, slow = g.branch(), g.branch()
    plain = quick.op(
        "StringNormalizer", text, case_change_action=Attribute("ascii_case", _TEXT), locale="C"
    )
    characters = _tokens(slow, text, "(?s).")
    changed = slow.op(
        "LabelEncoder",
        characters,
        domain="ai.onnx.ml",
        keys_strings=Attribute("characters", _TEXTS),
        values_strings=Attribute("replacements", _TEXTS),
        default_string=Attribute("otherwise", _TEXT),
    )
    same = slow.op("Equal", changed, slow.const(ABSENT), dtype="bool")
    joined = _join(slow, slow.op("Where", same, characters, changed, dtype="string"))
    g.inner_domains |= {"ai.onnx.ml", "com.microsoft"}
    return g.op(
        "If",
        special,
        dtype="string",
        then_branch=slow.body("any", [], [(joined, [None])]),
        else_branch=quick.body("ascii", [], [(plain, [None])]),
    )


def _join(g: Graph, characters: Tensor) -> Tensor:
    """Joins each row of strings [N, L] to one string, [N]; joins adjacent pairs until one column is
    left.
    """
    inner = g.branch()
    number, going, rows = (
        Tensor(inner, inner.fresh("b"), t, None) for t in ("int64", "bool", "string")
    )
    length = inner.op("Shape", rows, dtype="int64", start=1, end=2)
    shape = inner.op(
        "Concat", inner.op("Shape", rows, dtype="int64", start=0, end=1), inner.const([1]), axis=0
    )
    padded = inner.op(
        "Concat", rows, inner.op("Expand", inner.const([[""]]), shape, dtype="string"), axis=1
    )
    end = inner.op("Add", length, inner.op("Mod", length, inner.const([2])))
    step, axis = inner.const([2]), inner.const([1])
    even = inner.op("Slice", padded, inner.const([0]), end, axis, step)
    odd = inner.op("Slice", padded, inner.const([1]), end, axis, step)
    joined = inner.op("StringConcat", even, odd)
    more = inner.op(
        "Squeeze", inner.op("Greater", end, inner.const([2]), dtype="bool"), dtype="bool"
    )
    body = inner.body(
        "join",
        [(number, []), (going, []), (rows, [None, None])],
        [(more, []), (joined, [None, None])],
    )
    long = _has_columns(g, characters, more_than=1)
    whole = g.op("Loop", None, long, characters, dtype="string", body=body)
    return g.op("Reshape", whole, g.const([-1]))


def _with_empty_token(g: Graph, tokens: Tensor) -> Tensor:
    """Adds one empty token, because a row of tokens must not be empty."""
    shape = g.op("Concat", g.rows_of(tokens), g.const([1]), axis=0)
    return g.op("Concat", tokens, g.op("Expand", g.const([[""]]), shape, dtype="string"), axis=1)


def _dropped(g: Graph, tokens: Tensor, flags: Tensor) -> Tensor:
    """The tokens whose flag is zero, moved to the front; empty tokens fill the rest."""
    width = g.op("Shape", tokens, dtype="int64", start=1, end=2)
    scalar = g.op("Squeeze", width)
    places = g.op("Range", g.const(0), scalar, g.const(1), dtype="int64")
    key = flags * width + places
    outputs: list[tuple[str, int | None]] = [("int64", None), ("int64", None)]
    sorted_key, order = g.ops("TopK", (key, width), outputs, axis=1, largest=0, sorted=1)
    moved = g.op("GatherElements", tokens, order, axis=1)
    return g.op("Where", sorted_key >= width, g.const(""), moved, dtype="string")


def _joined_spaces(g: Graph, characters: Tensor) -> Tensor:
    """Replaces each sequence of two or more whitespace characters by one space."""
    space = _is_in(g, characters, Attribute("spaces", _TEXTS))
    zeros = g.op(
        "Expand",
        g.const([[0]]),
        g.op("Concat", g.rows_of(space), g.const([1]), axis=0),
        dtype="int64",
    )
    axis, last = g.const([1]), g.const([np.iinfo("int64").max])
    before = g.op("Concat", zeros, g.op("Slice", space, g.const([0]), g.const([-1]), axis), axis=1)
    after = g.op("Concat", g.op("Slice", space, g.const([1]), last, axis), zeros, axis=1)
    first = g.op(
        "Where",
        g.op("Equal", space * after, g.const([1]), dtype="bool"),
        g.const(" "),
        characters,
        dtype="string",
    )
    return _dropped(g, first, space * before)
