"""Items that the same people had, in clusters within clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DENSE = 1000
"""Items up to which all eigenvectors are found at once."""


def co_occurrence(sequences: Sequence[Sequence[int]], items: int) -> Any:
    """How many users had both of two items, whatever came first; nothing on the diagonal.

    Returns
    -------
    scipy CSR matrix ``[items, items]``, symmetric: ``C'C`` without its diagonal, where C holds for each user
    and item how often that user had it.

    Examples
    --------
    >>> co_occurrence([[0, 1], [1, 0, 2]], 3).toarray().astype(int).tolist()
    [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    """
    from scipy.sparse import csr_array

    users = np.repeat(np.arange(len(sequences)), [len(had) for had in sequences])
    had = np.fromiter((item for sequence in sequences for item in sequence), np.int64, len(users))
    table = csr_array((np.ones(len(users)), (users, had)), shape=(len(sequences), items))
    together = (table.T @ table).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    return together


def clustered(affinity: Any, clusters: int, size: int, levels: int = 8) -> list[tuple[int, ...]]:
    """Spectral clustering, again and again within each cluster that is too large.

    Items that share no user with any other cannot be clustered: they are put together behind the clusters,
    and cut into as many parts as they need. So are clusters that are too large at the last level, or that
    do not fall apart.

    Parameters
    ----------
    affinity : symmetric, sparse, ``[items, items]``.
    clusters : into how many a set is divided.
    size : items of a cluster that is not divided further, at most.
    levels : of clusters within clusters, at most.

    Returns
    -------
    list : the path of each item, from the outermost cluster to the innermost; as many items as share a path
        are at most ``size``.
    """
    paths: list[tuple[int, ...]] = [()] * affinity.shape[0]
    open_sets = [np.arange(affinity.shape[0])]
    while open_sets:
        members = open_sets.pop()
        deep = len(paths[members[0]])
        labels = np.arange(len(members)) // size
        if deep < levels:
            found = divided(affinity[members][:, members], clusters)
            labels = found if len(np.unique(found)) > 1 or len(members) <= size else labels
        for label in np.unique(labels):
            part = members[labels == label]
            for item in part:
                paths[item] = (*paths[item], int(label))
            if len(part) > size:
                open_sets.append(part)
    return paths


def divided(affinity: Any, clusters: int) -> NDArray[np.int64]:
    """Labels of items by spectral clustering; those without affinity to any other are one cluster more.

    The eigenvectors of ``D^-1/2 A D^-1/2`` with the largest eigenvalues, divided by the roots of the degrees,
    give each item as many numbers as there are to be clusters; see `by_pivots`. The same as
    ``SpectralClustering(assign_labels="cluster_qr")`` of scikit-learn, which for large sparse matrices takes
    minutes, as it factorises them.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh

    degrees = np.asarray(affinity.sum(axis=1))
    linked = np.flatnonzero(degrees > 0)
    labels = np.full(affinity.shape[0], clusters)
    if clusters == 1 or len(linked) <= clusters:
        labels[linked] = np.arange(len(linked)) if clusters > 1 else 0
        return labels if clusters > 1 else np.zeros_like(labels)
    roots = np.sqrt(degrees[linked])
    scaled = diags_array(1 / roots) @ affinity[linked][:, linked] @ diags_array(1 / roots)
    if len(linked) <= DENSE:
        vectors = np.linalg.eigh(scaled.toarray())[1][:, -clusters:]
    else:
        begin = np.random.default_rng(0).standard_normal(len(linked))
        vectors = eigsh(scaled, clusters, which="LA", v0=begin)[1]
    labels[linked] = by_pivots(vectors[:, ::-1] / roots[:, None])
    return labels


def by_pivots(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column in which each row is largest, after a rotation under which a row stands out in each column.

    These rows are the pivots of a QR factorisation of the transpose (Damle, Minden and Ying, "Simple, direct
    and efficient multi-way spectral clustering", Information and Inference 2019).

    Examples
    --------
    >>> by_pivots(np.array([[1.0, 1.0], [1.0, 0.9], [1.0, -1.0]])).tolist()
    [0, 0, 1]
    """
    from scipy.linalg import qr, svd

    pivots = qr(vectors.T, mode="r", pivoting=True)[1][: vectors.shape[1]]
    left, _, right = svd(vectors[pivots].T)
    found: NDArray[np.int64] = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return found
