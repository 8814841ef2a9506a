"""The functions of a model that count the terms of texts.

ONNX Runtime runs the nodes of their bodies. The native engine knows these functions by the SHA-256
of their bodies (engines/native/operators/text.cpp), and computes them by itself. So a body must not
depend on the model: everything that belongs to the model is an attribute of the calling node. If a
body changes, its new hash must be added to the native engine; the old ones stay there, because old
files have them.
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
    # Add one text, so that no node receives an empty batch or only empty texts. The Slice below
    # removes the row of this text again.
    padded = g.op("Concat", g.const(["a"]), text, axis=0)
    if replaces:
        padded = _replaced(g, padded)
    if unit == "characters":
        tokens = _joined_spaces(g, _with_empty_token(g, _tokens(g, padded, "(?s).")))
    else:
        tokens = _with_empty_token(g, _tokens(g, padded, Attribute("token", _TEXT)))
    if unit == "kept_words":
        tokens = _dropped(g, tokens, _is_in(g, tokens, Attribute("stop_words", _TEXTS)))
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
    last = g.const([np.iinfo("int64").max])
    counts = g.op("Slice", counts, g.const([1]), last, g.const([0]))
    return g.function(
        DOMAIN, ("Replace" if replaces else "") + "Count" + _NAMES[unit], [text], [counts]
    )


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
