"""How good a ranking is by pairs, and how two rankings compare in the eyes of users and judges."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from etude.search.collection import Qrels, Run


@dataclass(frozen=True)
class Pairs:
    """Pairs of documents that are judged differently: in the right order, in the wrong one, or tied.

    Examples
    --------
    >>> Pairs(6, 2, 0).ratio, Pairs(0, 0, 4).ratio
    (3.0, 1.0)
    """

    concordant: int
    discordant: int
    tied: int

    @property
    def ratio(self) -> float:
        """The positive-negative ratio (PNR); a tie is half of either. Infinite where nothing is wrong.

        With two grades it is ``AUC / (1 - AUC)`` of a query's documents; not a number without pairs.
        """
        right, wrong = self.concordant + self.tied / 2, self.discordant + self.tied / 2
        if not wrong:
            return math.inf if right else math.nan
        return right / wrong


def pairs(run: Run, qrels: Qrels) -> Pairs:
    """Count the pairs of judged documents of each query, by their scores in a run.

    Examples
    --------
    >>> pairs({"q": {"a": 0.9, "b": 0.5, "c": 0.7}}, {"q": {"a": 2, "b": 1, "c": 0}})
    Pairs(concordant=2, discordant=1, tied=0)
    """
    right = wrong = tied = 0
    for query, grades in qrels.items():
        scored = [(run[query][d], grade) for d, grade in grades.items() if d in run.get(query, {})]
        for score, grade in scored:
            lower = [other for other, its in scored if its < grade]
            right += sum(score > other for other in lower)
            wrong += sum(score < other for other in lower)
            tied += sum(score == other for other in lower)
    return Pairs(right, wrong, tied)


def interleave(first: Sequence[str], second: Sequence[str], seed: int) -> dict[str, str]:
    """Team-draft interleaving (Radlinski et al., CIKM 2008): documents as they are shown, and their teams.

    Examples
    --------
    >>> interleave(["a", "b"], ["b", "c"], seed=0)
    {'b': 'second', 'a': 'first', 'c': 'second'}
    """
    draw, teams = random.Random(seed), {"first": list(first), "second": list(second)}
    shown: dict[str, str] = {}
    sizes = dict.fromkeys(teams, 0)
    while left := {team: [d for d in documents if d not in shown] for team, documents in teams.items()}:
        ready = {team: documents for team, documents in left.items() if documents}
        if not ready:
            break
        team = min(ready, key=lambda name: (sizes[name], draw.random()))
        shown[ready[team][0]] = team
        sizes[team] += 1
    return shown


def delta(outcomes: Sequence[tuple[Mapping[str, str], Collection[str]]]) -> float:
    """Delta_AB: share of the sessions that the first ranking wins, ties half, less 0.5.

    Parameters
    ----------
    outcomes : for each session what `interleave` showed, and which documents were clicked.

    Examples
    --------
    >>> delta([({"a": "first", "b": "second"}, {"a"}), ({"a": "first", "b": "second"}, set())])
    0.25
    """
    wins = 0.0
    for shown, clicked in outcomes:
        first = sum(shown[document] == "first" for document in clicked)
        wins += 0.5 + 0.5 * ((first > len(clicked) - first) - (first < len(clicked) - first))
    return wins / len(outcomes) - 0.5


def side_by_side(good: int, same: int, bad: int) -> float:
    """GSB: ``(good - bad) / (good + same + bad)`` of judgements of two result pages beside each other.

    Examples
    --------
    >>> side_by_side(good=5, same=3, bad=2)
    0.3
    """
    return (good - bad) / (good + same + bad)
