"""Popularity: what most users had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etude.method import method

if TYPE_CHECKING:
    from etude.data.interactions import Interactions
    from etude.search.recommend.recommender import Scores


@method("popularity", task="recommend")
class Popularity:
    """Recommend the items that most users had to everybody, but what a user has had.

    Examples
    --------
    >>> from etude.data.interactions import Interactions
    >>> Popularity().fit(Interactions(((0, 1), (1, 2), (1, 2)), items=3)).recommend([[1]], [0], k=2)
    array([[2, 0]])
    """

    def fit(self, interactions: Interactions) -> Scores:
        """Count."""
        import numpy as np

        from etude.search.recommend.recommender import Scores, check_interactions

        check_interactions(interactions)
        every = [item for had in interactions.sequences for item in set(had)]
        return Scores("popularity", {"counts": np.bincount(every, minlength=interactions.items)})
