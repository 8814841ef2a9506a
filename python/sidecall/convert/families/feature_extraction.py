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

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.text_functions import ABSENT, TokenUnit, counting_function
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
def _space_class() -> str:
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
    return f"[^{_space_class()}]{repeat}" if atom == r"\S" else atom + repeat


# Lower case and accents, character by character.


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


# Analysis.


@converts("sklearn", "CountVectorizer TfidfVectorizer", "transform")
def vectorize(g: Conversion, model: Any, x: Frame) -> Tensor:
    if x.width != 1 or x.dtypes != ["string"]:
        raise g.refuse("it expects exactly one column of strings")
    _check(g, model)
    terms = {t: int(i) for t, i in model.vocabulary_.items()}
    if model.lowercase and any("\u03c3" in t or "\u03c2" in t for t in terms):
        raise g.refuse(
            "its vocabulary has the Greek letter sigma, whose lower case depends on its neighbours"
        )
    replacements = _replacements(model.lowercase, model.strip_accents)
    if model.analyzer == "char":
        unit, tokens = "characters", {"spaces": list(_spaces())}
        grams = [(list(t), i) for t, i in terms.items()]
    else:
        unit, tokens = _word_tokens(g, model, terms)
        grams = [(t.split(), i) for t, i in terms.items()]
    (counts,) = g.call_function(
        counting_function(unit, bool(replacements)),
        [g.op("Reshape", x.column(0), g.const([-1]))],
        [("float32", len(terms))],
        **tokens,
        **replacements,
        **_grams(grams),
    )
    if model.binary:
        counts = g.cast(counts > 0.0, "float32")
    counts.range = Range.of(0.0, 2.0**31, False, len(terms))
    if type(model).__name__ == "TfidfVectorizer":
        return g.transform(model._tfidf, counts, "").matrix()
    return g.cast(counts, g.real)


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
def _replacements(lowercase: bool, accents: str | None) -> dict[str, Any]:
    """The attributes for a function that replaces characters; empty if no character changes."""
    table = _changes(lowercase, accents)
    if not table:
        return {}
    special = {c for c in table if ord(c) > 127}
    case = "LOWER" if any(ord(c) < 128 for c in table) else "NONE"
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
