"""Item indexing: recommend by spelling items, in one of nine ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at

from etude.method import method

if TYPE_CHECKING:
    from etude.data.interactions import Interactions
    from etude.search.recommend.generative import Generative

Count = Annotated[int, at.Ge(1)]


@method("item-indexing", task="recommend", paper="item-indexing")
class ItemIndexing:
    """Let a language model read what a user had and spell the item that comes next.

    How items are spelled decides how well that is learnt:

    - ``rid``: a random number; ``tid``: the title; ``iid``: a token of its own;
    - ``sid``: numbers in the order in which users have items, so that what the same people had shares digits;
    - ``cid``: tokens of clusters within clusters of the graph of what the same users had, and a number;
    - ``semid``: tokens of the item's categories, and a number;
    - ``cid+iid``, ``semid+iid``, ``sid+iid``: the same with a token of its own for the number, or behind it.

    Learns from ten prompts about a user's items up to a random place, whose target is the next, and (if
    ``direct``) five about the user alone; all tokens of an item share a vector besides their own. Only ids
    that exist are generated. Numbers, clusters and prompts are made of training items alone.

    Parameters
    ----------
    ids : how items are spelled.
    order : of users for ``sid``: as they come ("time"), "random", or by the length of their sequences.
    clusters : that a set of items is divided into, for ``cid``.
    size : of a cluster that is not divided further, at most.
    shuffled : whether ``cid`` is made of items exchanged at random: a control.
    model : an encoder–decoder by name or folder; "" for a small T5, trained from nothing.
    width : of the small model, a multiple of 32.
    layers : of its encoder, and of its decoder.
    epochs : in each of them a user gives one example, or two if ``direct``.
    batch : examples in a step.
    rate : of learning, at its highest.
    direct : whether users are also asked about without their items.
    history : items of a user that are read, the last ones.
    beams : ids that are generated for a user.
    watched : users whose held-out item tells which epoch is kept; 0 to keep the last.

    Raises
    ------
    InputError : if a field is out of range, or items lack the titles or categories that ``ids`` needs.

    Examples
    --------
    >>> from etude.data.interactions import Interactions
    >>> known = Interactions(((0, 1, 2), (0, 1, 2), (3, 4, 5), (3, 4, 5)), items=6)
    >>> recommender = ItemIndexing(ids="iid", width=32, layers=1, epochs=2, direct=False).fit(known, seed=0)
    >>> [sorted(items) for items in recommender.recommend([[0, 1], [3, 4]], [0, 2], k=4).tolist()]
    [[2, 3, 4, 5], [0, 1, 2, 5]]

    References
    ----------
    Hua et al., "How to Index Item IDs for Recommendation Foundation Models", SIGIR-AP 2023.
    arXiv:2305.06569.
    """

    ids: Literal["rid", "tid", "iid", "sid", "cid", "semid", "cid+iid", "semid+iid", "sid+iid"] = "cid+iid"
    order: Literal["time", "random", "short", "long"] = "time"
    clusters: Count = 20
    size: Count = 500
    shuffled: bool = False
    model: str = ""
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 64
    layers: Count = 2
    epochs: Count = 20
    batch: Count = 64
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    direct: bool = True
    history: Count = 20
    beams: Count = 20
    watched: Annotated[int, at.Ge(0)] = 200

    def fit(self, interactions: Interactions, seed: int, held_out: Sequence[int] = ()) -> Generative:
        """Spell the items, and learn to spell the next one; ``held_out`` holds each user's, to choose by."""
        from etude.search.recommend.generative import Generative
        from etude.search.recommend.ids import ids_of
        from etude.search.recommend.learning import fitted, speller, tuned
        from etude.search.recommend.recommender import check_interactions, exchanged

        check_interactions(interactions)
        sequences = interactions.sequences
        ids = ids_of(
            self.ids,
            exchanged(interactions, seed) if self.shuffled else interactions,
            order=self.order,
            clusters=self.clusters,
            size=self.size,
            seed=seed,
        )
        if self.model:
            model, tokenizer = tuned(self.model, ids, seed)
        else:
            model, tokenizer = speller(ids, width=self.width, layers=self.layers, seed=seed)
        learner = Generative(model, tokenizer, ids, self.history, self.beams)
        fitted(
            learner,
            sequences,
            held_out[: self.watched],
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            direct=self.direct,
            seed=seed,
        )
        return learner
