"""Converters of text vectorizers.

The graphs give the same tokens as Python's re and str.lower. If that is impossible, the model is
refused.

A vectorizer becomes one node that calls a function of the model (text_functions.py). Python's rules
become attributes of the node: its word characters are ranges of a regular expression, its lower
case is a table of characters. Neither depends on the locale or the Unicode version of the machine
that runs the graph.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.terms import Terms
from ..graph.text_functions import (
    ABSENT,
    SEPARATORS,
    TokenUnit,
    counting_function,
    listing_function,
)
from ..registry import Conversion, refuses

# From this number of terms on, the graph lists the terms that a text has. With fewer terms it
# computes the whole matrix, which takes a single text less time.
_FEWEST_LISTED = 10_000

refuses(
    "sklearn:HashingVectorizer FeatureHasher",
    "hashing needs MurmurHash of every token, which no operator computes; use TfidfVectorizer",
)
refuses(
    "sklearn:DictVectorizer",
    "it reads dictionaries, not columns; use OneHotEncoder in a ColumnTransformer",
)


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
def _spaces() -> tuple[str, ...]:
    return tuple(c for c in _characters() if re.match(r"\s", c))


@cache
def space_class() -> str:
    return character_class(frozenset(_spaces()).__contains__)


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
    return f"[^{space_class()}]{repeat}" if atom == r"\S" else atom + repeat


# Lower case and accents, character by character.


def _changes(lowercase: bool, accents: str | None, spaces: bool) -> dict[str, str]:
    """A table of the characters that change, with their replacements.

    `spaces`: whitespace becomes a space.
    """
    table = {}
    for c in _characters():
        changed = c.lower() if lowercase else c
        if accents is not None:
            changed = unicodedata.normalize("NFKD", changed)
        if accents == "unicode":
            changed = "".join(d for d in changed if not unicodedata.combining(d))
        elif accents == "ascii":
            changed = changed.encode("ascii", "ignore").decode("ascii")
        if spaces and not changed.isalnum():
            changed = "".join(" " if d.isspace() else d for d in changed)
        if changed != c:
            table[c] = changed
    return table


# Analysis.


@register_converter("sklearn:CountVectorizer TfidfVectorizer", "transform")
def vectorize(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if columns.width != 1 or columns.dtypes != ["string"]:
        raise g.refuse("it expects exactly one column of strings")
    _check(g, step)
    terms = {t: int(i) for t, i in step.vocabulary_.items()}
    if step.lowercase and any("\u03c3" in t or "\u03c2" in t for t in terms):
        raise g.refuse(
            "its vocabulary has the Greek letter sigma, whose lower case depends on its neighbours"
        )
    is_padded = step.analyzer == "char_wb"
    replacements = _replacements(step.lowercase, step.strip_accents, is_padded)
    text = columns.column(0)
    unit: TokenUnit
    if step.analyzer in ("char", "char_wb"):
        unit, tokens = "characters", {"spaces": list(_spaces())}
        grams = [(list(t), i) for t, i in terms.items()]
    else:
        unit, tokens = _word_tokens(g, step, terms)
        grams = [(t.split(), i) for t, i in terms.items()]
    if is_padded:
        text = _padded(g, terms, text)
    _check_lengths(g, step, grams)
    text = g.op("Reshape", text, g.const([-1]))
    attributes = tokens | replacements

    def matrix() -> Tensor:
        (counts,) = g.call_function(
            counting_function(unit, bool(replacements)),
            [text],
            [("float32", len(terms))],
            **attributes,
            **_grams(grams),
        )
        if is_padded and " " in terms:
            # Every word has a space before and behind it, and adjacent words share one of them
            # here.
            is_space = np.arange(len(terms)) == terms[" "]
            counts = counts * np.where(is_space, 2.0, 1.0) - np.where(is_space, 2.0, 0.0)
        return g.cast(counts > 0.0, "float32") if step.binary else counts

    listed = None if is_padded and " " in terms else _terms(unit, grams)
    counts: Tensor
    if listed is None or len(terms) < _FEWEST_LISTED:
        counts = matrix()
    else:
        function = listing_function(unit, bool(replacements))
        counts = Terms.of(g, function, text, attributes | listed, matrix)
        if step.binary:
            counts = counts.with_value(g.unary("Sign", counts.value), matrix)
    counts.range = Range.of(0.0, 2.0**31, False, len(terms))
    if type(step).__name__ == "TfidfVectorizer":
        return g.transform(step._tfidf, counts, "").matrix()
    return counts.cast(g.real) if isinstance(counts, Terms) else g.cast(counts, g.real)


def _check_lengths(g: Conversion, model: Any, grams: list[tuple[list[str], int]]) -> None:
    """Refuses terms that are never counted because of their length; only users can give such ones.

    analyzer='char_wb' counts a word that is shorter than every sequence as a whole.
    """
    shortest, longest = model.ngram_range
    for tokens, _ in grams:
        is_word = model.analyzer == "char_wb" and tokens[0] == tokens[-1] == " " and len(tokens) > 2
        if len(tokens) > longest or (len(tokens) < shortest and not is_word):
            raise g.refuse(
                f"its vocabulary has a term that ngram_range={model.ngram_range} excludes"
            )


def _padded(g: Conversion, terms: dict[str, int], text: Tensor) -> Tensor:
    """The text of analyzer='char_wb' with a space before and behind it.

    scikit-learn takes the parts of each word between two spaces of its own. Here adjacent words
    share a space. This gives the same counts, because no part has a space inside.
    """
    if any(" " in term[1:-1] or (not term.strip(" ") and term != " ") for term in terms):
        raise g.refuse("its vocabulary has a term that analyzer='char_wb' never counts")
    space = g.const([[" "]])
    text = g.op("StringConcat", space, text, width=1)
    return g.op("StringConcat", text, space, width=1)


def _check(g: Conversion, model: Any) -> None:
    for name in ("preprocessor", "tokenizer"):
        if getattr(model, name) is not None:
            raise g.refuse(
                f"its {name} is a Python function; use token_pattern, lowercase and strip_accents"
            )
    if callable(model.strip_accents):
        raise g.refuse("its strip_accents is a Python function; use 'unicode' or 'ascii'")
    if callable(model.analyzer):
        raise g.refuse("its analyzer is a Python function; use 'word', 'char' or 'char_wb'")
    if model.analyzer not in ("word", "char", "char_wb"):
        raise g.refuse(
            f"analyzer='{model.analyzer}' is not supported; 'word', 'char' and 'char_wb' are"
        )
    if model.input != "content":
        raise g.refuse(f"input='{model.input}' reads files; only 'content' is supported")


def _word_tokens(
    g: Conversion, model: Any, terms: dict[str, int]
) -> tuple[TokenUnit, dict[str, Any]]:
    expression = token_expression(model.token_pattern)
    if expression is None:
        raise g.refuse(
            f"its token_pattern {model.token_pattern!r} has no exact translation; supported are runs of \\w, of \\S, or of a class such as [a-z]"
        )
    stop = model.get_stop_words() or frozenset()
    if any(word in stop for term in terms for word in term.split()):
        raise g.refuse(
            "its vocabulary has stop words, which are removed and therefore never counted"
        )
    # With single words only, a stop word is never counted, because it is not in the vocabulary.
    # With longer sequences it must be removed, so that the words around it become adjacent.
    if not stop or model.ngram_range[1] == 1:
        return "words", {"token": expression}
    return "kept_words", {"token": expression, "stop_words": sorted(stop)}


@cache
def _replacements(lowercase: bool, accents: str | None, spaces: bool = False) -> dict[str, Any]:
    """The attributes for a function that replaces characters; empty if no character changes."""
    table = _changes(lowercase, accents, spaces)
    if not table:
        return {}
    # Without any of these, only the case of ASCII letters changes.
    special = {c for c in table if ord(c) > 127 or c.isspace()}
    case = "LOWER" if lowercase else "NONE"
    if accents == "ascii":
        # Nearly every non-ASCII character is removed. So removal is the default, and the table
        # lists only the characters that are kept or replaced by text.
        kept = {chr(c): table.get(chr(c), chr(c)) for c in range(128)}
        table = kept | {c: d for c, d in table.items() if d}
    return {
        "special": f"[{character_class(special.__contains__)}]",
        "ascii_case": case,
        "characters": list(table),
        "replacements": list(table.values()),
        "otherwise": "" if accents == "ascii" else ABSENT,
    }


def _terms(unit: TokenUnit, grams: list[tuple[list[str], int]]) -> dict[str, Any] | None:
    """The attributes for a function that lists terms; None if the sequences of tokens cannot be
    told apart as texts.
    """
    separator = SEPARATORS[unit]
    terms = [separator.join(tokens) for tokens, _ in grams]
    if len(set(terms)) < len(terms) or any(separator in t for tokens, _ in grams for t in tokens):
        return None
    return {
        "terms": terms,
        "term_columns": [i for _, i in grams],
        "longest_gram": max(len(tokens) for tokens, _ in grams),
        "width": len(grams),
    }


def _grams(grams: list[tuple[list[str], int]]) -> dict[str, Any]:
    """The sequences of tokens that are counted, each with its column."""
    grams = sorted(grams, key=lambda gram: (len(gram[0]), gram[1]))
    lengths = [len(words) for words, _ in grams]
    return {
        "shortest_gram": min(lengths),
        "longest_gram": max(lengths),
        "gram_starts": [sum(n for n in lengths if n < size) for size in range(1, max(lengths) + 1)],
        "gram_columns": [i for _, i in grams],
        "gram_tokens": [word for words, _ in grams for word in words],
    }
