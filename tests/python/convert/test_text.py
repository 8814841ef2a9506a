"""Text vectorizers: exactly the tokens of scikit-learn, or a refusal."""

import re

import numpy as np
import pytest
from convert_harness import assert_agrees, case_name, differences, run
from hypothesis import given, settings
from hypothesis import strategies as st
from sidecall.convert import NotConvertible, to_graph
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

DOCUMENTS = [
    "The quick brown Fox, jumps over_the lazy dog's 3 times",
    "ÄPFEL und Birnen; Straße É é ñ İstanbul KELVIN \u212a",
    "",
    "!!! ?",
    "a bb ccc dddd  two   spaces\n\nnew line\tTab",
    "中文 字符 test 1² x₂ ½",
    "quick fox quick fox the the the",
    "Éclair éclair eclair",
]
FRESH = np.array([*DOCUMENTS[::-1], "unseen words ÄPFEL QUICK", "ǅ Ǆ ǆ ﬃ ﬀ", "   "], dtype=object)


@pytest.mark.parametrize(
    "model",
    [
        CountVectorizer(),
        CountVectorizer(lowercase=False, binary=True),
        CountVectorizer(strip_accents="unicode"),
        CountVectorizer(strip_accents="ascii"),
        CountVectorizer(strip_accents="ascii", lowercase=False),
        CountVectorizer(token_pattern=r"\S+"),
        CountVectorizer(token_pattern=r"[a-z]{3,}"),
        CountVectorizer(token_pattern=r"(?u)\b\w+\b"),
        CountVectorizer(token_pattern=r"\w{3,}"),
        CountVectorizer(max_features=5),
        CountVectorizer(analyzer="char", ngram_range=(1, 3)),
        TfidfVectorizer(),
        TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True),
        TfidfVectorizer(ngram_range=(2, 2), norm="l1"),
        TfidfVectorizer(stop_words="english", ngram_range=(1, 2)),
        TfidfVectorizer(stop_words=["fox", "the"], use_idf=False, norm=None),
        TfidfVectorizer(analyzer="char", ngram_range=(2, 4)),
    ],
    ids=str,
)
def test_vectorizers_agree(model):
    model.fit(DOCUMENTS)
    assert_agrees(model, FRESH, tolerance=1e-6, exact=1e-12)
    assert_agrees(model, FRESH[6:7], tolerance=1e-6, exact=1e-12)


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_no_texts_give_no_rows(analyzer):
    model = TfidfVectorizer(analyzer=analyzer).fit(DOCUMENTS)
    assert run(model, FRESH[:0])["transformed"].shape == (0, len(model.vocabulary_))


MODELS = [
    CountVectorizer().fit(DOCUMENTS),
    CountVectorizer(
        ngram_range=(1, 2),
        stop_words=["the", "a"],
        strip_accents="unicode",
        token_pattern=r"\b\w+\b",
    ).fit(DOCUMENTS),
    CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False).fit(DOCUMENTS),
]
PIECES = st.one_of(
    st.sampled_from([*" ".join(DOCUMENTS).split(), " ", "\n", "\u2003", "\u0130", "ß"]),
    st.text(max_size=3),
)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_random_texts_agree(model):
    from convert_harness import session

    graph = session(to_graph(model, [("text", "string", 1)], precision="float32"))

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(st.lists(PIECES, max_size=8).map("".join).filter(lambda t: "\x00" not in t))
    def check(text):
        got = graph.run(None, {"text": np.array([[text]], dtype=object)})[0]
        assert np.array_equal(got, model.transform([text]).toarray())

    check()


def test_a_classifier_of_texts_agrees():
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(DOCUMENTS, np.arange(8) % 2)
    assert_agrees(model, FRESH)


def test_a_column_of_texts_beside_numbers_agrees():
    import pandas as pd

    frame = pd.DataFrame({"review": DOCUMENTS, "stars": np.arange(8.0)})
    columns = ColumnTransformer(
        [("text", TfidfVectorizer(), "review"), ("rest", "passthrough", ["stars"])]
    )
    assert_agrees(make_pipeline(columns, LogisticRegression()).fit(frame, np.arange(8) % 2), frame)


PARTS = [
    "Hello  World a",
    "a",
    "",
    " \t\u2003 ",
    "NA\tna\n x\x1cq\x1dr",
    "Ångström été\u00a0b c",
    "\u2003x\u1680y",
    "İstanbul",
    "  trail  ",
]


@pytest.mark.parametrize(
    "model",
    [
        CountVectorizer(analyzer="char_wb", ngram_range=(1, 2)),
        CountVectorizer(analyzer="char_wb", ngram_range=(4, 6), lowercase=False),
        CountVectorizer(analyzer="char_wb", ngram_range=(1, 3), binary=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4)),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), strip_accents="ascii"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), strip_accents="unicode"),
    ],
    ids=case_name,
)
def test_parts_of_words_agree(model):
    model = clone(model).fit(PARTS[:7])
    assert_agrees(model, np.array([*PARTS, *FRESH], dtype=object))
    assert_agrees(model, np.array(PARTS[3:5], dtype=object))


def shout(text):
    return text.upper()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (CountVectorizer(vocabulary=["a b", "c"]), "a term that ngram_range=(1, 1) excludes"),
        (CountVectorizer(analyzer="char", vocabulary=["ab"]), "ngram_range=(1, 1) excludes"),
        (
            CountVectorizer(analyzer="char_wb", ngram_range=(3, 4), vocabulary=["ab"]),
            "ngram_range=(3, 4) excludes",
        ),
        (
            CountVectorizer(analyzer="char_wb", ngram_range=(3, 4), vocabulary=["a b"]),
            "a term that analyzer='char_wb' never counts",
        ),
        (CountVectorizer(analyzer=str.split), "analyzer is a Python function"),
        (
            CountVectorizer(tokenizer=str.split, token_pattern=None),
            "tokenizer is a Python function",
        ),
        (CountVectorizer(preprocessor=shout), "preprocessor is a Python function"),
        (CountVectorizer(strip_accents=shout), "strip_accents is a Python function"),
        (CountVectorizer(token_pattern=r"(\w)\w+"), "no exact translation"),
        (CountVectorizer(token_pattern=r"\b[a-z]+\b"), "no exact translation"),
        (CountVectorizer(token_pattern=r"\w+(?=,)"), "no exact translation"),
        (HashingVectorizer(), "MurmurHash"),
    ],
    ids=case_name,
)
def test_unsupported_vectorizers_are_refused(model, reason):
    model.fit(DOCUMENTS)
    with pytest.raises(NotConvertible, match=re.escape(reason)):
        to_graph(model, [("text", "string", 1)], precision="float32")


def test_greek_capitals_are_refused():
    # The lower case of a capital sigma depends on the letters next to it.
    model = CountVectorizer().fit(["ΟΔΟΣ"])
    with pytest.raises(NotConvertible, match="sigma"):
        to_graph(model, [("text", "string", 1)], precision="float32")
    assert (
        differences(
            CountVectorizer(lowercase=False).fit(["ΟΔΟΣ"]), np.array(["ΟΔΟΣ"], dtype=object)
        )["transformed"]
        == 0
    )


def test_stop_words_inside_a_given_vocabulary_are_refused():
    model = TfidfVectorizer(vocabulary=["the", "fox"], stop_words=["the"]).fit(DOCUMENTS)
    with pytest.raises(NotConvertible, match="stop words"):
        to_graph(model, [("text", "string", 1)], precision="float32")


def test_numbers_in_place_of_texts_are_refused():
    with pytest.raises(NotConvertible, match="one column of strings"):
        to_graph(CountVectorizer().fit(DOCUMENTS), [("text", "float32", 1)], precision="float32")
