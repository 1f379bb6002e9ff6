"""Neighbours: what users had who had the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from etude.method import method

if TYPE_CHECKING:
    from etude.data.interactions import Interactions
    from etude.search.recommend.recommender import Scores


@method("item-knn", task="recommend")
class ItemKNN:
    """Recommend items that resemble those a user has had.

    Two items are as similar as the cosine of the users they have, ``n_ij / (sqrt(n_i n_j) + shrink)``; of
    each item the nearest others count. An item scores the sum of its similarities to all of the history.

    Parameters
    ----------
    neighbours : of an item that count.
    shrink : the larger, the less a few common users say.

    Examples
    --------
    >>> from etude.data.interactions import Interactions
    >>> ItemKNN().fit(Interactions(((0, 1), (0, 1), (2, 3)), items=4)).recommend([[0]], [0], k=1)
    array([[1]])

    References
    ----------
    Deshpande and Karypis, "Item-based Top-N Recommendation Algorithms", TOIS 2004.
    """

    neighbours: Annotated[int, at.Ge(1)] = 100
    shrink: Annotated[float, at.Ge(0)] = 10.0

    def fit(self, interactions: Interactions) -> Scores:
        """Count who had both, and keep the nearest of each."""
        import numpy as np

        from etude.search.recommend.clustering import co_occurrence
        from etude.search.recommend.recommender import Scores, check_interactions

        check_interactions(interactions)
        together = co_occurrence(interactions.sequences, interactions.items).tocoo()
        every = [item for had in interactions.sequences for item in set(had)]
        users = np.bincount(every, minlength=interactions.items)
        rows, columns = together.coords
        values = together.data / (np.sqrt(users[rows] * users[columns]) + self.shrink)
        order = np.lexsort((-values, rows))
        rank = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
        kept = order[rank < self.neighbours]
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=interactions.items))])
        arrays = {"data": values[kept].astype(np.float32), "indices": columns[kept], "indptr": starts}
        return Scores("item-knn", arrays)
