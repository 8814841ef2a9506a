"""Converters of text vectorizers.

The graphs give the same tokens as Python's re and str.lower. If that is impossible, the model is
refused.

Python's rules become data of the graph: its word characters are ranges of a regular expression, its
lower case is a table of characters. Neither depends on the locale or the Unicode version of the
machine that runs the graph.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..checks import Range
from ..graph.builder import Graph, Tensor
from ..graph.frame import Frame
from ..registry import Conversion, converts, refuses

refuses(
    "sklearn",
    "HashingVectorizer FeatureHasher",
    "hashing needs MurmurHash of every token, which no operator computes; use TfidfVectorizer",
)
refuses(
    "sklearn",
    "DictVectorizer",
    "it reads dictionaries, not columns; use OneHotEncoder in a ColumnTransformer",
)

# A Unicode non-character that means "not in the table" between two nodes. It is never part of a
# text.
_ABSENT = "\ufdd2"


@cache
def _characters() -> tuple[str, ...]:
    return tuple(chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000)


def character_class(accept: Callable[[str], bool]) -> str:
    """The characters that `accept` accepts, as ranges of a regular expression."""
    ranges: list[list[int]] = []
    for c in _characters():
        if accept(c):
            if ranges and ranges[-1][1] == ord(c) - 1:
                ranges[-1][1] = ord(c)
            else:
                ranges.append([ord(c), ord(c)])
    return "".join(rf"\x{{{a:x}}}-\x{{{b:x}}}" if a != b else rf"\x{{{a:x}}}" for a, b in ranges)


@cache
def _word_class() -> str:
    return character_class(lambda c: c.isalnum() or c == "_")


@cache
def _space_class() -> str:
    return character_class(lambda c: re.match(r"\s", c) is not None)


def token_expression(pattern: str) -> str | None:
    """Translates a token_pattern of a known form to RE2 syntax; None for other forms.

    RE2 supports \\w and \\b for ASCII only.
    """
    body = pattern.removeprefix("(?u)")
    bounded = body.startswith(r"\b") and body.endswith(r"\b")
    body = body[2:-2] if bounded else body
    match = re.fullmatch(r"((?:\\w)+|\\S|\[[A-Za-z0-9_-]+\])(\+|\{\d+,\})?", body)
    if match is None:
        return None
    atom, repeat = match.group(1), match.group(2)
    if atom.startswith(r"\w"):
        # The longest possible run of word characters starts and ends at a word boundary by itself.
        count = atom.count(r"\w") - 1
        least = int(repeat[1:-2]) if repeat and repeat.startswith("{") else 1
        if repeat is None:
            return None
        return f"[{_word_class()}]{{{count + least},}}"
    if bounded or repeat is None:
        return None
    return f"[^{_space_class()}]{repeat}" if atom == r"\S" else atom + repeat


# Lower case and accents, character by character.


@cache
def _changes(lowercase: bool, accents: str | None) -> dict[str, str]:
    """A table of the characters that change, with their replacements."""
    table = {}
    for c in _characters():
        changed = c.lower() if lowercase else c
        if accents is not None:
            changed = unicodedata.normalize("NFKD", changed)
        if accents == "unicode":
            changed = "".join(d for d in changed if not unicodedata.combining(d))
        elif accents == "ascii":
            changed = changed.encode("ascii", "ignore").decode("ascii")
        if changed != c:
            table[c] = changed
    return table


def _tokens(g: Graph, text: Tensor, expression: str) -> Tensor:
    return g.op(
        "Tokenizer",
        text,
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value="",
        tokenexp=expression,
    )


def _rewrite(g: Conversion, text: Tensor, table: dict[str, str], ascii_only: bool) -> Tensor:
    """Replaces the characters of each text.

    If no text contains a non-ASCII character of the table, the graph takes a faster path without
    the table.
    """
    special = {c for c in table if ord(c) > 127}
    needs = _tokens(g, text, f"[{character_class(special.__contains__)}]")
    some = g.op(
        "Greater", g.op("Shape", needs, dtype="int64", start=1, end=2), g.const([0]), dtype="bool"
    )
    some = g.op("Squeeze", some, dtype="bool")
    quick, slow = g.branch(), g.branch()
    if any(ord(c) < 128 for c in table):
        plain = quick.op("StringNormalizer", text, case_change_action="LOWER", locale="C")
    else:
        plain = quick.op("Identity", text)
    joined = _join(slow, _map(slow, _tokens(slow, text, "(?s)."), table, ascii_only))
    g.inner_domains |= {"ai.onnx.ml", "com.microsoft"}
    return g.op(
        "If",
        some,
        dtype="string",
        then_branch=slow.body("any", [], [(joined, [None])]),
        else_branch=quick.body("ascii", [], [(plain, [None])]),
    )


def _map(g: Graph, characters: Tensor, table: dict[str, str], ascii_only: bool) -> Tensor:
    if ascii_only:
        # Nearly every non-ASCII character is removed. So removal is the default, and the table
        # lists only the characters that are kept or replaced by text.
        kept = {chr(c): table.get(chr(c), chr(c)) for c in range(128)} | {
            c: d for c, d in table.items() if d
        }
        return g.op(
            "LabelEncoder",
            characters,
            domain="ai.onnx.ml",
            keys_strings=list(kept),
            values_strings=list(kept.values()),
            default_string="",
        )
    changed = g.op(
        "LabelEncoder",
        characters,
        domain="ai.onnx.ml",
        keys_strings=list(table),
        values_strings=list(table.values()),
        default_string=_ABSENT,
    )
    same = g.op("Equal", changed, g.const(_ABSENT), dtype="bool")
    return g.op("Where", same, characters, changed, dtype="string")


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
    long = g.op(
        "Greater",
        g.op("Shape", characters, dtype="int64", start=1, end=2),
        g.const([1]),
        dtype="bool",
    )
    whole = g.op(
        "Loop", None, g.op("Squeeze", long, dtype="bool"), characters, dtype="string", body=body
    )
    return g.op("Reshape", whole, g.const([-1]))


# Analysis.


@converts("sklearn", "CountVectorizer TfidfVectorizer", "transform")
def vectorize(g: Conversion, model: Any, x: Frame) -> Tensor:
    if x.width != 1 or x.dtypes != ["string"]:
        raise g.refuse("it expects exactly one column of strings")
    _check(g, model)
    # Add one text, so that no node receives an empty batch or only empty texts. The Slice below
    # removes the row of this text again.
    text = g.op("Concat", g.const(["a"]), g.op("Reshape", x.column(0), g.const([-1])), axis=0)
    table = _changes(model.lowercase, model.strip_accents)
    if table:
        text = _rewrite(g, text, table, model.strip_accents == "ascii")
    terms = {t: int(i) for t, i in model.vocabulary_.items()}
    if model.lowercase and any("\u03c3" in t or "\u03c2" in t for t in terms):
        raise g.refuse(
            "its vocabulary has the Greek letter sigma, whose lower case depends on its neighbours"
        )
    if model.analyzer == "char":
        tokens, split = _char_tokens(g, text), _letters
    else:
        tokens, split = _word_tokens(g, model, text, terms), _words
    counts = _count(g, tokens, [(split(t), i) for t, i in terms.items()])
    counts = g.op(
        "Slice",
        counts,
        g.const([1]),
        g.const([np.iinfo("int64").max]),
        g.const([0]),
        width=len(terms),
    )
    if model.binary:
        counts = g.cast(counts > 0.0, "float32")
    counts.range = Range.of(0.0, 2.0**31, False, len(terms))
    if type(model).__name__ == "TfidfVectorizer":
        return g.transform(model._tfidf, counts, "").matrix()
    return g.cast(counts, g.real)


def _letters(term: str) -> list[str]:
    return list(term)


def _words(term: str) -> list[str]:
    return term.split()


def _check(g: Conversion, model: Any) -> None:
    for name in ("preprocessor", "tokenizer"):
        if getattr(model, name) is not None:
            raise g.refuse(f"its {name} is a Python function")
    if callable(model.strip_accents):
        raise g.refuse("its strip_accents is a Python function")
    if callable(model.analyzer):
        raise g.refuse("its analyzer is a Python function")
    if model.analyzer not in ("word", "char"):
        raise g.refuse(f"analyzer='{model.analyzer}' is not supported; 'word' and 'char' are")
    if model.input != "content":
        raise g.refuse(f"input='{model.input}' reads files; only 'content' is supported")


def _word_tokens(g: Conversion, model: Any, text: Tensor, terms: dict[str, int]) -> Tensor:
    expression = token_expression(model.token_pattern)
    if expression is None:
        raise g.refuse(
            f"its token_pattern {model.token_pattern!r} has no exact translation; supported are runs of \\w, of \\S, or of a class such as [a-z]"
        )
    tokens = _padded(g, _tokens(g, text, expression))
    stop = model.get_stop_words() or frozenset()
    if not stop:
        return tokens
    if any(word in stop for term in terms for word in term.split()):
        raise g.refuse(
            "its vocabulary has stop words, which are removed and therefore never counted"
        )
    # With single words only, a stop word is never counted, because it is not in the vocabulary.
    # With longer sequences it must be removed, so that the words around it become adjacent.
    if model.ngram_range[1] == 1:
        return tokens
    flags = g.op(
        "LabelEncoder",
        tokens,
        dtype="int64",
        domain="ai.onnx.ml",
        keys_strings=sorted(stop),
        values_int64s=[1] * len(stop),
        default_int64=0,
    )
    return _dropped(g, tokens, flags)


def _padded(g: Conversion, tokens: Tensor) -> Tensor:
    """Adds one empty token, because a row of tokens must not be empty."""
    shape = g.op("Concat", g.rows_of(tokens), g.const([1]), axis=0)
    return g.op("Concat", tokens, g.op("Expand", g.const([[""]]), shape, dtype="string"), axis=1)


def _dropped(g: Conversion, tokens: Tensor, flags: Tensor) -> Tensor:
    """The tokens whose flag is zero, moved to the front; empty tokens fill the rest."""
    width = g.op("Shape", tokens, dtype="int64", start=1, end=2)
    scalar = g.op("Squeeze", width)
    places = g.op("Range", g.const(0), scalar, g.const(1), dtype="int64")
    key = flags * width + places
    outputs: list[tuple[str, int | None]] = [("int64", None), ("int64", None)]
    sorted_key, order = g.ops("TopK", (key, width), outputs, axis=1, largest=0, sorted=1)
    moved = g.op("GatherElements", tokens, order, axis=1)
    return g.op("Where", sorted_key >= width, g.const(""), moved, dtype="string")


def _char_tokens(g: Conversion, text: Tensor) -> Tensor:
    """Splits a text into characters; two or more whitespace characters count as one space.

    scikit-learn's CountVectorizer does the same.
    """
    characters = _padded(g, _tokens(g, text, "(?s)."))
    spaces = [c for c in _characters() if re.match(r"\s", c)]
    space = g.op(
        "LabelEncoder",
        characters,
        dtype="int64",
        domain="ai.onnx.ml",
        keys_strings=spaces,
        values_int64s=[1] * len(spaces),
        default_int64=0,
    )
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


def _count(g: Conversion, tokens: Tensor, grams: list[tuple[list[str], int]]) -> Tensor:
    """The number of occurrences of each sequence of tokens, [N, grams], float32."""
    grams = sorted(grams, key=lambda gram: (len(gram[0]), gram[1]))
    lengths = [len(words) for words, _ in grams]
    starts = [sum(n for n in lengths if n < size) for size in range(1, max(lengths) + 1)]
    return g.op(
        "TfIdfVectorizer",
        tokens,
        dtype="float32",
        width=len(grams),
        mode="TF",
        min_gram_length=min(lengths),
        max_gram_length=max(lengths),
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=[i for _, i in grams],
        pool_strings=[word for words, _ in grams for word in words],
    )
