"""Texts: bags of words, topics, semi-supervised learning."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, LatentDirichletAllocation, TruncatedSVD
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import LinearSVC

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_FOLDER = "auto_examples/text/"
_DOCUMENTS = "Classification of text documents using sparse features"
_DOCUMENTS_PATH = _FOLDER + "plot_document_classification_20newsgroups.html"


def _tfidf() -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, max_df=0.5, min_df=2, stop_words="english")


@page(SK, _DOCUMENTS, _DOCUMENTS_PATH)
def documents_by_ridge() -> Any:
    model = make_pipeline(_tfidf(), RidgeClassifier(tol=1e-2, solver="sparse_cg"))
    return fitted(model, *data.newsgroups())


@page(SK, _DOCUMENTS, _DOCUMENTS_PATH)
def documents_by_logistic_regression() -> Any:
    return fitted(
        make_pipeline(_tfidf(), LogisticRegression(C=5, max_iter=1000)), *data.newsgroups()
    )


@page(SK, _DOCUMENTS, _DOCUMENTS_PATH)
def documents_by_complement_bayes() -> Any:
    return fitted(make_pipeline(_tfidf(), ComplementNB(alpha=0.1)), *data.newsgroups())


@page(SK, _DOCUMENTS, _DOCUMENTS_PATH)
def documents_by_linear_svc() -> Any:
    return fitted(make_pipeline(_tfidf(), LinearSVC(C=0.1, dual=False)), *data.newsgroups())


_GRID = "Sample pipeline for text feature extraction and evaluation"
_GRID_PATH = "auto_examples/model_selection/plot_grid_search_text_feature_extraction.html"


@page(SK, _GRID, _GRID_PATH)
def text_search() -> Any:
    model = Pipeline([("vect", TfidfVectorizer()), ("clf", ComplementNB())])
    grid = {
        "vect__max_df": (0.4, 0.8),
        "vect__min_df": (1, 3),
        "vect__ngram_range": ((1, 1), (1, 2)),
        "vect__norm": ("l1", "l2"),
        "clf__alpha": np.logspace(-3, 3, 4),
    }
    return fitted(
        RandomizedSearchCV(model, grid, n_iter=3, random_state=0, cv=2), *data.newsgroups()
    )


_TUTORIAL = "Tutorial: Working With Text Data"
_TUTORIAL_PATH = "tutorial/text_analytics/working_with_text_data.html"


@page(SK, _TUTORIAL, _TUTORIAL_PATH)
def tutorial_naive_bayes() -> Any:
    steps = [("vect", CountVectorizer()), ("tfidf", TfidfTransformer()), ("clf", MultinomialNB())]
    return fitted(Pipeline(steps), *data.newsgroups())


@page(SK, _TUTORIAL, _TUTORIAL_PATH)
def tutorial_support_vectors() -> Any:
    sgd = SGDClassifier(loss="hinge", alpha=1e-3, random_state=42, max_iter=5, tol=None)
    model = Pipeline([("vect", CountVectorizer()), ("tfidf", TfidfTransformer()), ("clf", sgd)])
    grid = {"vect__ngram_range": [(1, 1), (1, 2)], "tfidf__use_idf": (True, False)}
    return fitted(GridSearchCV(model, grid, cv=2), *data.newsgroups())


_CLUSTERS = "Clustering text documents using k-means"
_CLUSTERS_PATH = _FOLDER + "plot_document_clustering.html"


@page(SK, _CLUSTERS, _CLUSTERS_PATH)
def document_clusters() -> Any:
    texts, _ = data.newsgroups()
    analysis = make_pipeline(TruncatedSVD(n_components=20, random_state=0), Normalizer(copy=False))
    words = TfidfVectorizer(max_df=0.5, min_df=2, stop_words="english")
    clusters = KMeans(n_clusters=4, max_iter=100, n_init=1, random_state=0)
    return fitted(make_pipeline(words, analysis, clusters), texts)


@page(SK, _CLUSTERS, _CLUSTERS_PATH)
def hashed_document_clusters() -> Any:
    texts, _ = data.newsgroups()
    hashing = HashingVectorizer(stop_words="english", n_features=5_000)
    clusters = KMeans(n_clusters=4, max_iter=100, n_init=1, random_state=0)
    return fitted(make_pipeline(hashing, TfidfTransformer(), clusters), texts)


@page(
    SK,
    "Out-of-core classification of text documents",
    "auto_examples/applications/plot_out_of_core_classification.html",
)
def out_of_core() -> Any:
    hashing = HashingVectorizer(decode_error="ignore", n_features=2**10, alternate_sign=False)
    return fitted(make_pipeline(hashing, SGDClassifier(max_iter=5)), *data.newsgroups())


_TOPICS = "Topic extraction with Non-negative Matrix Factorization and Latent Dirichlet Allocation"
_TOPICS_PATH = "auto_examples/applications/plot_topics_extraction_with_nmf_lda.html"


@page(SK, _TOPICS, _TOPICS_PATH)
def topics_by_factors() -> Any:
    words = TfidfVectorizer(max_df=0.95, min_df=2, max_features=200, stop_words="english")
    factors = NMF(n_components=5, random_state=1, init="nndsvda", alpha_W=0.00005, l1_ratio=0.5)
    return fitted(make_pipeline(words, factors), data.newsgroups()[0])


@page(SK, _TOPICS, _TOPICS_PATH)
def topics_by_allocation() -> Any:
    words = CountVectorizer(max_df=0.95, min_df=2, max_features=200, stop_words="english")
    topics = LatentDirichletAllocation(n_components=5, max_iter=5, random_state=0)
    return fitted(make_pipeline(words, topics), data.newsgroups()[0])


@page(
    SK,
    "Semi-supervised Classification on a Text Dataset",
    "auto_examples/semi_supervised/plot_semi_supervised_newsgroups.html",
)
def self_training_on_texts() -> Any:
    texts, labels = data.newsgroups(3)
    codes = np.unique(labels, return_inverse=True)[1]
    codes[::3] = -1
    sgd = SGDClassifier(alpha=1e-5, penalty="l2", loss="log_loss", random_state=0)
    steps = [
        ("vect", CountVectorizer(ngram_range=(1, 2), min_df=2, max_df=0.8)),
        ("tfidf", TfidfTransformer()),
        ("clf", SelfTrainingClassifier(sgd, max_iter=2)),
    ]
    return fitted(Pipeline(steps), texts, codes)


_GUIDE, _GUIDE_PATH = "User guide: Text feature extraction", "modules/feature_extraction.html"


@page(SK, _GUIDE, _GUIDE_PATH)
def guide_bigrams() -> Any:
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\b\w+\b", min_df=2)
    return fitted(make_pipeline(words, TfidfTransformer(smooth_idf=False)), data.titles(120)[0])


@page(SK, _GUIDE, _GUIDE_PATH)
def guide_characters_in_words() -> Any:
    words = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3), min_df=3)
    model = make_pipeline(words, MultinomialNB())
    return fitted(model, *data.titles(120))


def _words_without_digits(text: str) -> list[str]:
    return [word.rstrip("s") for word in re.findall(r"\w\w+", text) if not word.isdigit()]


@page(SK, _GUIDE, _GUIDE_PATH)
def guide_tokenizer_of_ones_own() -> Any:
    words = CountVectorizer(tokenizer=_words_without_digits, token_pattern=None)
    return fitted(make_pipeline(words, MultinomialNB()), *data.titles(120))


@page(SK, "User guide: Feature selection", "modules/feature_selection.html")
def words_selected_by_chi2() -> Any:
    model = make_pipeline(TfidfVectorizer(), SelectKBest(chi2, k=50), LinearSVC())
    return fitted(model, *data.newsgroups())
