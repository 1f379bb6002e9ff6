"""Recommendation: sequences of items in, a recommender out, judged by the last item of every user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import check_fields, takes
from etude.task import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from etude.data.interactions import Interactions


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What recommenders learn from.

    Parameters
    ----------
    data : a named set (groups, beauty, movielens), or a table with a row for each interaction: ``user``,
        ``item``, perhaps ``timestamp``.
    about : a table of the items' ``title`` and ``categories``; "" for none, or that of the named set.
    least : interactions of a user and of an item; what has fewer is left out.
    users : that are looked at, the first ones; 0 for all.

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    data: str = "groups"
    about: str = ""
    least: Annotated[int, at.Ge(3)] = 5
    users: Annotated[int, at.Ge(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Recommend:
    """The task: methods answer to ``fit(interactions, seed, held_out)``, or less of it, with a `Recommender`.

    The last item of every user is to be recommended; the one before it is held out of training too, and may
    be used to choose by. All items stand for choice but those that the user has had: none of them comes
    again in these sets.
    """

    name: str = "recommend"
    title: str = "recommendation"
    inputs: type[Inputs] = Inputs
    metrics: tuple[Metric, ...] = (
        Metric("hr_5", "HR@5", "higher", digits=4),
        Metric("hr_10", "HR@10", "higher", digits=4, axis="quality"),
        Metric("ndcg_5", "NDCG@5", "higher", digits=4),
        Metric("ndcg_10", "NDCG@10", "higher", digits=4),
        Metric("filled", "places filled", "higher", digits=3),
        Metric("tokens", "tokens of an id", None, digits=2),
        Metric("new_tokens", "new tokens", None, digits=0),
        Metric("recommend_ms", "CPU time a user", "lower", unit="ms", axis="cost"),
    )
    baselines: tuple[str, ...] = ("popularity", "item-knn", "sasrec")

    def open(self, inputs: Inputs) -> RecommendCase:
        """Load the interactions."""
        case = RecommendCase(inputs)
        if min(map(len, case.whole.sequences)) < 3:
            raise InputError(
                "data", "a user has fewer than 3 items: one to learn from, to choose and to test by"
            )
        return case


class RecommendCase:
    """Interactions, loaded and divided."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def whole(self) -> Interactions:
        """All of them."""
        from etude.data.interactions import load_interactions

        inputs = self.inputs
        found = load_interactions(inputs.data, inputs.about, inputs.least)
        return replace(found, sequences=found.sequences[: inputs.users or None])

    @cached_property
    def train(self) -> Interactions:
        """All items of users but the last two."""
        return replace(self.whole, sequences=tuple(had[:-2] for had in self.whole.sequences))

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Identify the interactions."""
        import hashlib

        return {"data": hashlib.sha256(repr(self.whole).encode()).hexdigest()}

    def check(self, method: Any) -> None:
        """Ids need what they are made of."""
        needs = {"tid": self.whole.titles, "semid": self.whole.categories}
        scheme = getattr(method, "ids", "").partition("+")[0]
        if scheme in needs and not needs[scheme]:
            raise InputError("ids", f"{scheme} needs titles or categories, which {self.inputs.data} has not")

    def trial(self, seed: int) -> RecommendTrial:
        """The same division under every seed."""
        return RecommendTrial(self, seed)


class RecommendTrial:
    """One recommender on the interactions."""

    def __init__(self, case: RecommendCase, seed: int) -> None:
        self.case, self.seed = case, seed
        self.recommender: Any = None

    def apply(self, method: Any) -> None:
        """Fit it, with as much as it takes."""
        held_out = [had[-2] for had in self.case.whole.sequences]
        given = {"interactions": self.case.train, "seed": self.seed, "held_out": held_out}
        wanted = takes(method.fit)
        self.recommender = method.fit(**{name: value for name, value in given.items() if name in wanted})

    def score(self) -> Mapping[str, float]:
        """Where the last item of each user stands among the ten that are recommended."""
        import time

        sequences = self.case.whole.sequences
        begun = time.process_time()
        found = self._done.recommend([had[:-1] for had in sequences], range(len(sequences)), 10)
        spent = 1000 * (time.process_time() - begun) / len(sequences)
        figures = hits(found, [had[-1] for had in sequences])
        return figures | self._spelled() | {"filled": float((found >= 0).mean()), "recommend_ms": spent}

    def _spelled(self) -> dict[str, float]:
        from etude.search.recommend.generative import Generative
        from etude.search.recommend.ids import new_tokens

        if not isinstance(self._done, Generative):
            return {}
        lengths = [len(self._done.target(item)) for item in range(len(self._done.ids))]
        return {
            "tokens": sum(lengths) / len(lengths),
            "new_tokens": float(len(new_tokens(self._done.ids))),
        }

    @property
    def _done(self) -> Any:
        if self.recommender is None:
            raise RuntimeError("apply has not been called")
        return self.recommender

    def save(self, folder: Path) -> None:
        """Write a recommender that `load_recommender` reads."""
        from etude.search.recommend.recommender import save_recommender

        save_recommender(self._done, folder)


def hits(found: NDArray[Any], wanted: Sequence[int]) -> dict[str, float]:
    """HR and NDCG at 5 and 10: whether, and how far up, the one item that is wanted was recommended.

    Parameters
    ----------
    found : items, best first, ``[users, 10]``.
    wanted : of each user.

    Examples
    --------
    >>> import numpy as np
    >>> hits(np.array([[4, 3, 9]]), [3])
    {'hr_5': 1.0, 'ndcg_5': 0.6309..., 'hr_10': 1.0, 'ndcg_10': 0.6309...}
    """
    import numpy as np

    same = found == np.asarray(wanted)[:, None]
    gains = same / np.log2(np.arange(2, found.shape[1] + 2))
    made = [(f"hr_{k}", same[:, :k].any(1).mean(), f"ndcg_{k}", gains[:, :k].sum(1).mean()) for k in (5, 10)]
    return {name: float(value) for one in made for name, value in ((one[0], one[1]), (one[2], one[3]))}


TASK = Recommend()
