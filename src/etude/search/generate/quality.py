"""How good continuations are: how near to people's as a whole, how repetitive, how near to the prefix."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SCALE, POINTS = 5.0, 25
"""MAUVE's: how fast a divergence becomes small, and how many mixtures are tried."""
KEPT = 0.9
"""Share of the variance that the directions in which texts are clustered hold."""


def tidy(text: str) -> str:
    """A continuation as it is judged: one space for white space, cut behind its last whole sentence.

    Examples
    --------
    >>> tidy("He ran.  She said; and th")
    'He ran. She said;'
    """
    flat = " ".join(text.split())
    end = max(flat.rfind(mark) for mark in ".?!;")
    return flat[: end + 1] if end > 0 else flat


def repetition(text: str, n: int) -> float:
    """Share of the n-grams of words that are there already; 0 for a text of fewer words.

    Examples
    --------
    >>> repetition("a b a b a b", 2)
    0.6
    """
    words = text.lower().split()
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def overlap(prefix: str, text: str) -> float:
    """Share of a text's words that stand in the prefix.

    Examples
    --------
    >>> overlap("the old house", "The house fell.")
    0.6666666666666666
    """
    known, words = set(_words(prefix)), _words(text)
    return sum(word in known for word in words) / len(words) if words else 0.0


def names(prefix: str, text: str) -> float | None:
    """Share of a text's capitalised words and numbers that stand in the prefix; None if it has none.

    Words that begin a sentence do not count. It stands in for the overlap of named entities.
    """
    found = [word for word in re.findall(r"(?<=[a-z,;] )[A-Z]\w+|\d+", text) if word != "I"]
    return sum(word in prefix for word in found) / len(found) if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def mauve(people: Tensor, machines: Tensor, seed: int = 0) -> float:
    """How near two sets of texts are, in (0, 1]: MAUVE, on whatever vectors of texts are given.

    The vectors of both are normed, turned into the principal directions that hold 90 % of their variance, and
    clustered; the two histograms over the clusters are compared by `frontier`. There is one cluster for each
    ten texts of the smaller set. With a few hundred texts it is biased downwards and noisy: compare
    only sets of one size.

    Parameters
    ----------
    people, machines : vectors of texts, ``[texts, width]``.
    seed : of the clustering.

    References
    ----------
    Pillutla et al., "MAUVE: Measuring the Gap Between Neural Text and Human Text using Divergence
    Frontiers", NeurIPS 2021. arXiv:2102.01454.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    both = torch.nn.functional.normalize(torch.cat([people, machines]).double(), dim=1).numpy()
    turned = PCA(random_state=seed).fit(both)
    count = int(np.argmax(np.cumsum(turned.explained_variance_ratio_) >= KEPT)) + 1
    clusters = max(2, round(min(len(people), len(machines)) / 10))
    means = KMeans(clusters, n_init=5, max_iter=500, random_state=seed)
    labels = means.fit_predict(turned.transform(both)[:, :count])
    histograms = [
        np.bincount(part, minlength=clusters) / len(part) for part in np.split(labels, [len(people)])
    ]
    return frontier(*histograms)


def frontier(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Area under the curve of ``exp(-5 KL)`` from two histograms to their mixtures.

    Examples
    --------
    >>> same = np.array([0.5, 0.5])
    >>> round(frontier(same, same), 3), round(frontier(np.array([1.0, 0]), np.array([0, 1.0])), 3)
    (1.0, 0.004)
    """
    shares = np.linspace(1e-6, 1 - 1e-6, POINTS)
    mixtures = shares[:, None] * p + (1 - shares[:, None]) * q
    curve = np.array([[_divergence(q, each), _divergence(p, each)] for each in mixtures])
    x, y = np.exp(-SCALE * np.vstack([[0, np.inf], curve, [np.inf, 0]])).T
    return float((_area(x, y) + _area(y, x)) / 2)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    order = np.lexsort((-y, x))  # down, where points stand above each other
    return float(np.trapezoid(y[order], x[order]))


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Kullback and Leibler's, in nats."""
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def identified(scores: Tensor) -> float:
    """Share of the rows whose first score is above all others, ``[rows, candidates]``.

    Examples
    --------
    >>> identified(torch.tensor([[2.0, 1.0], [1.0, 1.0]]))
    0.5
    """
    return float((scores[:, 0] > scores[:, 1:].amax(1)).double().mean())


def mean(values: Sequence[float | None]) -> float:
    """Of those that there are; NaN if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
