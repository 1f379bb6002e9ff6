"""Beam search among what a rule allows: all hypotheses of all queries in one step, none that is not alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from etude.search.constrained.decoders import Decoder
    from etude.search.constrained.rules import Rule


@dataclass(frozen=True)
class Hypothesis:
    """Something that was generated to its end.

    Parameters
    ----------
    tokens : its token ids, the last of which ends it.
    log_prob : sum of the logarithms of their probabilities, in nats.
    score : what it is ranked by: ``log_prob / len(tokens) ** length_penalty``.
    state : of the rule, at its end; empty without a rule.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    state: tuple[int, ...] = ()


@dataclass
class _Beams:
    """Hypotheses under way, those of a query beside each other, best first.

    Parameters
    ----------
    owners : the query of each, ascending, ``[rows]``.
    totals : their log-probabilities, ``[rows]``.
    tokens : what was generated, ``[rows, steps]``.
    done : those that have ended, of each query; at most as many as there are beams.
    """

    owners: Tensor
    totals: Tensor
    tokens: Tensor
    done: list[list[Hypothesis]] = field(default_factory=list)


@torch.no_grad()
def beam_search(
    decoder: Decoder,
    rule: Rule | None,
    queries: int,
    *,
    beams: int,
    max_length: int,
    length_penalty: float = 1.0,
    end: int | None = None,
) -> list[list[Hypothesis]]:
    """The best texts for each query, best first.

    A step keeps the ``beams`` best continuations of a query that do not end. Probabilities are those of the
    model over all of its vocabulary: what the rule forbids is left out, and the rest not made to sum to 1.
    With as many beams as the rule allows texts, all of them are scored. The search for a query goes on until
    none of its hypotheses could come in any more, even if it grew to ``max_length`` and cost nothing further.

    Parameters
    ----------
    decoder : a model that has read the queries.
    rule : what may be generated; None for everything, until ``end``.
    queries : how many the decoder has read.
    beams : hypotheses of a query, >= 1; as many texts are returned, or fewer if there are fewer.
    max_length : tokens of a text, the last one included; what has not ended by then is left out.
    length_penalty : exponent of the number of tokens that a log-probability is divided by; 0 for none.
    end : the token that ends a text, where there is no rule.
    """
    live = _Beams(torch.arange(queries), torch.zeros(queries), torch.empty(queries, 0, dtype=torch.long))
    live.done = [[] for _ in range(queries)]
    stop = rule.end if rule is not None else end
    states = None if rule is None else rule.start(queries)
    logits = decoder.first()
    for length in range(1, max_length + 1):
        chances = logits.log_softmax(-1)
        if rule is None or states is None:
            rows, tokens = _likeliest(chances, 2 * beams)
            following = None
        else:
            moves = rule.moves(states)
            rows, tokens, following = (
                torch.from_numpy(moves.rows),
                torch.from_numpy(moves.tokens),
                moves.states,
            )
        totals = live.totals[rows] + chances[rows, tokens]
        picked, ranks = best(live.owners[rows], totals, 2 * beams)
        ended = tokens[picked] == stop
        for place in picked[ended & (ranks < beams)].tolist():
            state = () if following is None else tuple(following[place].tolist())
            _finish(live, rows[place], tokens[place], totals[place], state, beams, length_penalty)
        picked, _ = best(live.owners[rows[picked[~ended]]], totals[picked[~ended]], beams, picked[~ended])
        picked = picked[
            _open(live, live.owners[rows[picked]], totals[picked], beams, max_length**length_penalty)
        ]
        if length == max_length or not len(picked):
            break
        parents, new = rows[picked], tokens[picked]
        live.owners, live.totals = live.owners[parents], totals[picked]
        live.tokens = torch.cat([live.tokens[parents], new[:, None]], dim=1)
        states = None if following is None else following[picked.numpy()]
        logits = decoder.step(parents, new)
    return live.done


def best(owners: Tensor, scores: Tensor, n: int, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Places of the ``n`` highest scores of every owner, best first, and their ranks from 0.

    Parameters
    ----------
    owners : ascending, ``[scores]``.
    scores : ``[scores]``.
    places : what is returned in place of the position of a score.

    Examples
    --------
    >>> best(torch.tensor([0, 0, 0, 2]), torch.tensor([1.0, 3.0, 2.0, 5.0]), 2)
    (tensor([1, 2, 3]), tensor([0, 1, 0]))
    """
    kinds, counts = _runs(owners)
    if not len(kinds):
        return owners, owners
    first = counts.cumsum(0) - counts
    within = torch.arange(len(owners)) - first.repeat_interleave(counts)
    table = scores.new_full((len(kinds), int(counts.max())), -torch.inf)
    table[torch.arange(len(kinds)).repeat_interleave(counts), within] = scores
    columns = table.topk(min(n, table.shape[1]), dim=1).indices
    there = torch.arange(columns.shape[1]) < counts[:, None]
    found = (columns + first[:, None])[there]
    ranks = torch.arange(columns.shape[1]).expand_as(columns)[there]
    return (found if places is None else places[found]), ranks


def _likeliest(chances: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Rows and tokens of the ``n`` likeliest tokens of each row: no others can be among a query's best."""
    tokens = chances.topk(min(n, chances.shape[1]), dim=1).indices
    return torch.arange(len(chances)).repeat_interleave(tokens.shape[1]), tokens.flatten()


def _finish(
    live: _Beams,
    row: Tensor,
    token: Tensor,
    total: Tensor,
    state: tuple[int, ...],
    beams: int,
    penalty: float,
) -> None:
    """Put a text that has ended among those of its query, in the place of the worst if they are too many."""
    tokens = (*live.tokens[row].tolist(), int(token))
    done = live.done[int(live.owners[row])]
    done.append(Hypothesis(tokens, float(total), float(total) / len(tokens) ** penalty, state))
    done.sort(key=lambda hypothesis: -hypothesis.score)
    del done[beams:]


def _open(live: _Beams, owners: Tensor, totals: Tensor, beams: int, longest: float) -> Tensor:
    """Which rows belong to a query that has not enough, or that can still do better than its worst."""
    worst = torch.tensor([done[-1].score if len(done) == beams else -torch.inf for done in live.done])
    kinds, counts = _runs(owners)
    leading = totals[counts.cumsum(0) - counts] / longest
    return (leading > worst[kinds]).repeat_interleave(counts)


def _runs(owners: Tensor) -> tuple[Tensor, Tensor]:
    """Which owners there are, ascending, and how many rows each has."""
    counts = owners.bincount()
    kinds = counts.nonzero().flatten()
    return kinds, counts[kinds]
