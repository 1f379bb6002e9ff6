"""Beam search over chunks of tokens: many ways to go on are drawn, judged whole, and the best kept.

With one beam and a chunk as long as the text it is over-generation and reranking; with one sample besides, it
is sampling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from etude.errors import InputError
from etude.models.likelihood import evaluating
from etude.progress import track
from etude.search.generate.decoding import Drawn, Rows, Warp, cut, draw, ends_of, start

BATCH = 128
"""Rows that are drawn side by side, about."""


@dataclass(frozen=True)
class Candidate:
    """One way to go on.

    Parameters
    ----------
    text : what stands behind the prefix.
    ids : its tokens, without one that ends it.
    log_likelihood : of its tokens under the language model, in nats, its end included; None if not known.
    finished : whether it has come to its end, or is as long as was asked for.
    score : what the scorer made of it; 0 without one.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    log_likelihood: float | None = 0.0
    finished: bool = False
    score: float = 0.0


@dataclass(frozen=True)
class Generation:
    """What was made of one prompt.

    Parameters
    ----------
    prompt : as given.
    candidates : all that were offered in the last round, best first; the first ones are the beams.
    sampled : tokens that were drawn from the language model for it.
    """

    prompt: str
    candidates: tuple[Candidate, ...]
    sampled: int

    @property
    def text(self) -> str:
        """Of the best."""
        return self.candidates[0].text


class Scorer(Protocol):
    """Tells how well texts go on from a prefix. Anything that has these two functions can steer a search."""

    def read(self, prefixes: Sequence[str]) -> Any:
        """What is needed of the prefixes; made once, whatever is scored against it."""

    def score(self, read: Any, owners: Sequence[int], candidates: Sequence[Candidate]) -> torch.Tensor:
        """A number for each candidate, ``[candidates]``; the i-th goes on from prefix ``owners[i]``."""


@dataclass(frozen=True)
class Search:
    """How a search goes.

    Parameters
    ----------
    samples : ways to go on that are drawn from each beam in a round.
    beams : kept after a round.
    chunk : tokens of a round; None for the whole length.
    """

    samples: int = 1
    beams: int = 1
    chunk: int | None = None


ONE = Search()
"""One sample, whole."""


def search(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    length: int,
    warp: Warp,
    scorer: Scorer | None = None,
    plan: Search = ONE,
) -> list[Generation]:
    """Continue prompts, each with a state and random numbers of its own: how many there are changes none.

    Draws one seed a prompt from torch's generator. The first ``n`` samples of a round are the same however
    many follow.

    Parameters
    ----------
    model, tokenizer : a causal language model and its tokenizer.
    prompts : none empty; of one that is too long for the model's context the end is read.
    length : new tokens of a text, at most.
    warp : what makes the distribution that is drawn from; see `decoding.Warp`.
    scorer : judges each text so far, whole, against its prompt; None where one text alone is drawn.
    plan : how many, of what length.

    Raises
    ------
    InputError : naming ``prompts``, ``length`` or ``scorer``.
    """
    check_prompts(prompts)
    if length < 1:
        raise InputError("length", f"{length} is not 1 or more tokens")
    if scorer is None and plan.samples * plan.beams > 1:
        raise InputError("scorer", "is needed to choose among several samples or beams")
    ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    if empty := [place for place, row in enumerate(ids) if not row]:
        raise InputError("prompts", f"number {empty[0]} has no tokens")
    ids = [cut(row, length, model) for row in ids]
    seeds = torch.randint(2**62, (len(prompts),)).tolist()
    size = max(1, BATCH // (plan.samples * plan.beams))
    found: list[Generation] = []
    with evaluating(model):
        for at in track(range(0, len(prompts), size), "generating"):
            part = slice(at, at + size)
            group = _Group(model, tokenizer, prompts[part], seeds[part], scorer, plan)
            found += group.run(start(model, ids[part]), length, warp)
    return found


def check_prompts(prompts: Any) -> None:
    """Raise `InputError` if these are not texts."""
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise InputError("prompts", f"is a {type(prompts).__name__}; give a list of texts")
    for place, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError("prompts", f"number {place} is no text")


class _Group:
    """Prompts that are continued side by side."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[str],
        seeds: Sequence[int],
        scorer: Scorer | None,
        plan: Search,
    ) -> None:
        self.model, self.tokenizer, self.prompts = model, tokenizer, prompts
        self.scorer, self.plan = scorer, plan
        self.draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.read = None if scorer is None else scorer.read(prompts)
        self.ends = ends_of(model, tokenizer)
        self.sampled = [0] * len(prompts)

    def run(self, rows: Rows, length: int, warp: Warp) -> list[Generation]:
        """All rounds."""
        chunk = min(self.plan.chunk or length, length)
        live = [(owner, Candidate()) for owner in range(len(self.prompts)) for _ in range(self.plan.beams)]
        rows = rows.select(torch.tensor([owner for owner, _ in live]))
        ended: dict[int, list[Candidate]] = {owner: [] for owner in range(len(self.prompts))}
        offers: dict[int, tuple[Candidate, ...]] = {}
        for begin in range(0, length, chunk):
            steps = min(chunk, length - begin)
            parents = [each for each in live for _ in range(self.plan.samples)]
            rows = rows.select(torch.arange(len(live)).repeat_interleave(self.plan.samples))
            drawn = draw(self.model, rows, self._numbers(parents, steps), warp, self.ends)
            fresh = list(self._grown(parents, drawn, last=begin + steps == length))
            live, places = [], []
            for owner, ranked in self._ranked(fresh, ended).items():
                offers[owner] = tuple(candidate for candidate, _ in ranked)
                kept = ranked[: self.plan.beams]
                ended[owner] = [candidate for candidate, _ in kept if candidate.finished]
                live += [(owner, candidate) for candidate, _ in kept if not candidate.finished]
                places += [place for candidate, place in kept if not candidate.finished]
            if not live:
                break
            rows = drawn.rows.select(torch.tensor(places))
        return [Generation(p, offers[n], self.sampled[n]) for n, p in enumerate(self.prompts)]

    def _numbers(self, parents: Sequence[tuple[int, Candidate]], steps: int) -> torch.Tensor:
        """Uniform random numbers of each prompt's own, ``[rows, steps]``; rows of a prompt are neighbours."""
        counts: dict[int, int] = {}
        for owner, _ in parents:
            counts[owner] = counts.get(owner, 0) + 1
        return torch.cat([torch.rand(n, steps, generator=self.draws[owner]) for owner, n in counts.items()])

    def _grown(
        self, parents: Sequence[tuple[int, Candidate]], drawn: Drawn, last: bool
    ) -> Iterator[tuple[int, Candidate]]:
        """Each row's text so far, with its owner."""
        grown = []
        for row, (owner, parent) in enumerate(parents):
            count, finished = int(drawn.counts[row]), bool(drawn.finished[row])
            new = drawn.tokens[row, : count - finished].tolist()
            self.sampled[owner] += count
            grown.append((*parent.ids, *new))
        texts = self.tokenizer.batch_decode(grown, skip_special_tokens=True)
        for row, (owner, parent) in enumerate(parents):
            likelihood = (parent.log_likelihood or 0.0) + float(drawn.log_likelihoods[row])
            yield owner, Candidate(texts[row], grown[row], likelihood, last or bool(drawn.finished[row]))

    def _ranked(
        self, fresh: Sequence[tuple[int, Candidate]], ended: Mapping[int, Sequence[Candidate]]
    ) -> dict[int, list[tuple[Candidate, int]]]:
        """For each prompt that goes on, its ended and its new texts, best first, with rows (-1: none)."""
        offered: dict[int, list[tuple[Candidate, int]]] = {}
        for place, ((owner, _), candidate) in enumerate(zip(fresh, self._scored(fresh), strict=True)):
            offered.setdefault(owner, [(old, -1) for old in ended[owner]]).append((candidate, place))
        return {owner: sorted(each, key=lambda offer: -offer[0].score) for owner, each in offered.items()}

    def _scored(self, fresh: Sequence[tuple[int, Candidate]]) -> list[Candidate]:
        candidates = [candidate for _, candidate in fresh]
        if self.scorer is None:
            return candidates
        scores = self.scorer.score(self.read, [owner for owner, _ in fresh], candidates).tolist()
        return [replace(each, score=score) for each, score in zip(candidates, scores, strict=True)]
