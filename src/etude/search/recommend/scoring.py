"""Scores of items from what was learnt: by popularity, by neighbours, by self-attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Histories = Sequence[Sequence[int]]
Scored = NDArray[np.float32]


def popular(arrays: Mapping[str, NDArray[Any]], histories: Histories) -> Scored:
    """The number of users of each item, whoever asks."""
    return np.tile(arrays["counts"].astype(np.float32), (len(histories), 1))


def neighbours(arrays: Mapping[str, NDArray[Any]], histories: Histories) -> Scored:
    """The similarities of each item to all that the user has had, summed."""
    from scipy.sparse import csr_array

    items = len(arrays["indptr"]) - 1
    similar = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(items, items))
    rows = np.repeat(np.arange(len(histories)), [len(had) for had in histories])
    had = np.fromiter((item for history in histories for item in history), np.int64, len(rows))
    table = csr_array((np.ones(len(rows), np.float32), (rows, had)), shape=(len(histories), items))
    scores: Scored = (table @ similar).toarray().astype(np.float32)
    return scores


def attended(arrays: Mapping[str, NDArray[Any]], histories: Histories) -> Scored:
    """The product of each item's vector with the state behind the user's last item."""
    import torch

    from etude.search.recommend.sasrec_network import Network, batch_of

    network = Network.of({name: torch.from_numpy(array) for name, array in arrays.items()})
    with torch.no_grad():
        found: Scored = network(batch_of(histories, network.length))[:, -1].numpy()
    return found


KINDS: dict[str, Callable[[Mapping[str, NDArray[Any]], Histories], Scored]] = {
    "popularity": popular,
    "item-knn": neighbours,
    "sasrec": attended,
}
"""By the name of the method."""
