"""Click logs: what users did with the results of queries, real ones from a file, or simulated from grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from etude.data.rows import rows
from etude.errors import InputError
from etude.search.collection import Qrels, Run

FEATURES = (
    "impressions",
    "click_rate",
    "skip_rate",
    "dwell",
    "long_click_rate",
    "last_click_rate",
    "position",
)
"""Of a query and a document: how often it was shown; in what share of these it was clicked, was passed over
for a click further down; mean seconds of reading after a click; in what share it was read for long, was
clicked last; mean place, from 1."""

LONG = 30.0
"""Seconds of reading after which a click is a long one."""


@dataclass(frozen=True)
class Logged:
    """What users did with the results of one query.

    Parameters
    ----------
    documents : that were shown.
    features : of each, ``[documents, features]`` in the order of `FEATURES`.
    """

    documents: tuple[str, ...]
    features: Tensor

    @property
    def click_rates(self) -> Tensor:
        """Raw clicks for each time shown, ``[documents]``."""
        return self.features[:, FEATURES.index("click_rate")]


def read_log(path: Path) -> dict[str, Logged]:
    """Read a table (JSON lines, Parquet, TSV ..) with ``query``, ``document`` and all of `FEATURES`.

    Raises
    ------
    InputError : naming ``log``, if a row lacks something, or holds something else than numbers.
    """
    found: dict[str, list[tuple[str, list[float]]]] = {}
    for place, row in rows(path):
        try:
            values = [float(row[name]) for name in FEATURES]
            found.setdefault(str(row["query"]), []).append((str(row["document"]), values))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("log", f"{place}: {type(error).__name__} {error}") from error
    return {
        query: Logged(tuple(name for name, _ in pairs), torch.tensor([values for _, values in pairs]))
        for query, pairs in found.items()
    }


def simulated(
    run: Run,
    qrels: Qrels,
    *,
    sessions: int = 20,
    depth: int = 10,
    bias: float = 1.0,
    noise: float = 0.1,
    seed: int,
) -> dict[str, Logged]:
    """Clicks of simulated users: no person made them.

    A position-based model: the result at place ``r`` is looked at with probability ``r ** -bias``, and once
    looked at, clicked with probability ``noise + (1 - 2 noise) (2^grade - 1) / 15``. Seconds of reading are
    log-normal around 10 for grade 0 and 50 for grade 4. In every session, results are shuffled a little.

    Parameters
    ----------
    run : results of queries, best first.
    qrels : grades 0 to 4, which decide what users like; what is not judged counts as 0.
    sessions : of each query.
    depth : results that are shown.
    bias : how much faster the upper places are looked at; 0 for no bias.
    noise : probability of a click on what is of no use, and of none on what is perfect.
    seed : of all draws.
    """
    draw = torch.Generator().manual_seed(seed)
    return {
        query: _logged(tuple(ranking)[:depth], qrels.get(query, {}), sessions, bias, noise, draw)
        for query, ranking in run.items()
        if ranking
    }


def _logged(
    documents: Sequence[str],
    grades: Mapping[str, int],
    sessions: int,
    bias: float,
    noise: float,
    draw: torch.Generator,
) -> Logged:
    grade = torch.tensor([float(grades.get(document, 0)) for document in documents])
    shape = (sessions, len(documents))
    jittered = torch.arange(len(documents)) + 2 * torch.randn(shape, generator=draw)
    place = jittered.argsort(dim=1).argsort(dim=1) + 1
    looked = torch.rand(shape, generator=draw) < place.float() ** -bias
    liked = torch.rand(shape, generator=draw) < noise + (1 - 2 * noise) * (2**grade - 1) / 15
    clicked = looked & liked
    dwell = (10 + 10 * grade) * torch.randn(shape, generator=draw).exp()
    lowest = torch.where(clicked, place, 0).amax(1, keepdim=True)
    clicks = clicked.sum(0).clamp(min=1)
    features = [
        torch.full((len(documents),), float(sessions)),
        clicked.float().mean(0),
        (~clicked & (place < lowest)).float().mean(0),
        (dwell * clicked).sum(0) / clicks,
        (clicked & (dwell > LONG)).float().mean(0),
        (clicked & (place == lowest)).float().mean(0),
        place.float().mean(0),
    ]
    return Logged(tuple(documents), torch.stack(features, dim=1))
