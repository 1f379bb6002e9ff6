"""Pointwise reranking by a language model: each candidate is read on its own with the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from etude.errors import InputError
from etude.search.rerank.causal import Causal
from etude.search.rerank.reranking import Asked, Ranking
from etude.search.rerank.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Verdict:
    """Scores a passage by how much likelier one word is than another as the answer.

    Parameters
    ----------
    causal : the language model, of either kind.
    template : of the question, with ``{query}`` and ``{passage}``.
    good, bad : the two words; of each the first token counts.
    passage : tokens of a passage, at most.
    fingerprint : of the model, if the reranker is not to be saved with it.
    learnt : whether the model is to be saved with the reranker.

    Raises
    ------
    InputError : naming ``model`` if both words begin with the same token.
    """

    causal: Causal | Seq2Seq
    template: str
    good: str
    bad: str
    passage: int
    fingerprint: str = ""
    learnt: bool = False

    def __post_init__(self) -> None:
        _ = self.words

    @cached_property
    def words(self) -> tuple[int, int]:
        """The first tokens of the two words."""
        good, bad = (self.causal.ids(word)[0] for word in (self.good, self.bad))
        if good == bad:
            raise InputError("model", f"begins {self.good!r} and {self.bad!r} with the same token")
        return good, bad

    def prompt(self, query: str, passage: str) -> list[int]:
        """The question about one passage."""
        cut = shortened(self.causal, passage, self.passage)
        return self.causal.prompt(self.template.format(query=query, passage=cut))

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        return by_question(asked, self._rank)

    def _rank(self, query: str, passages: Sequence[str]) -> Ranking:
        prompts = [self.prompt(query, passage) for passage in passages]
        logits = self.causal.next_logits(prompts)[:, list(self.words)]
        return Ranking((logits[:, 0] - logits[:, 1]).tolist(), sum(map(len, prompts)), len(prompts), 1)

    def save(self, folder: Path) -> None:
        """Write the model, if it has learnt."""
        if self.learnt:
            self.causal.model.save_pretrained(folder)
            self.causal.tokenizer.save_pretrained(folder)


@dataclass(frozen=True)
class Likelihood:
    """Scores a passage by the mean log-likelihood of the question's tokens behind it.

    Parameters
    ----------
    causal : the language model.
    template : what is read before the question, with ``{passage}``.
    passage : tokens of a passage, at most.
    fingerprint : of the model.
    """

    causal: Causal
    template: str
    passage: int
    fingerprint: str

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        return by_question(asked, self._rank)

    def _rank(self, query: str, passages: Sequence[str]) -> Ranking:
        question = self.causal.ids(query) or [self.causal.tokenizer.eos_token_id]
        cut = [shortened(self.causal, passage, self.passage) for passage in passages]
        rows = [self.causal.prompt(self.template.format(passage=each)) + question for each in cut]
        return Ranking(self.causal.log_likelihoods(rows, len(question)).tolist(), sum(map(len, rows)), 0, 1)

    def save(self, folder: Path) -> None:
        """Nothing has been learnt."""


def by_question(asked: Sequence[Asked], rank: Callable[[str, Sequence[str]], Ranking]) -> list[Ranking]:
    """Rank each question's candidates by a function of its text and theirs."""
    return [rank(query, [document.content for document in documents]) for query, documents in asked]


def shortened(causal: Causal | Seq2Seq, text: str, tokens: int) -> str:
    """The beginning of a text, so many tokens at most."""
    ids = causal.ids(text)
    return text if len(ids) <= tokens else str(causal.tokenizer.decode(ids[:tokens]))
