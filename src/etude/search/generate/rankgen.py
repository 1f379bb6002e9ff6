"""RankGen: a dual encoder, trained to tell what follows, steers a search over chunks of tokens."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from etude.errors import InputError
from etude.files import cache_folder
from etude.method import method, parameters
from etude.progress import track
from etude.search.generate.chunks import Search, search
from etude.search.generate.decoding import check_generates
from etude.search.generate.dual import DualEncoder, digest
from etude.search.generate.generator import Generator, Sampling
from etude.search.generate.lessons import any_document, same_document
from etude.search.generate.quality import tidy
from etude.search.generate.scorers import Dual
from etude.search.passages import SHORTEST, Pair, pairs
from etude.seeds import seeded

Size = Annotated[int, at.Ge(1)]
Share = Annotated[float, at.Interval(gt=0, le=1)]
WARM_UP = 0.1
VERSION = 1
"""Of the recipe: with another number, encoders are trained anew."""


@method("rankgen", task="generate", paper="rankgen")
class RankGen:
    """Draw many continuations, keep those that a trained encoder finds to follow best, and go on from there.

    One encoder gives prefixes and suffixes vectors whose dot product tells how well they fit. It learns from
    documents in two ways by turns: all pairs of a batch from one document, so that each suffix is a hard
    negative for the others' prefixes; and pairs of any documents, each beside one continuation that the
    language model has written itself. In generation every beam is continued by ``samples`` chunks; the
    *whole* text so far is scored against the *first* prefix, and the best ``beams`` are kept.

    With ``beams=1, chunk=None`` it is over-generation and reranking; with ``samples=1`` besides, sampling.
    Draws from torch's generator. Encoders are kept in the user's cache.

    Parameters
    ----------
    encoder : what is trained: an encoder by name or folder.
    samples : continuations of a beam that are drawn in a round.
    beams : texts that are kept after a round.
    chunk : tokens of a round; None for the whole length.
    top_p : tokens are drawn from the likeliest that make up this probability, in (0, 1].
    temperature : by which logits are divided.
    objective : "inbook" (negatives of the same document), "generative" (the language model's), or "both" by
        turns.
    prefix, suffix : tokens of training texts, at most; the encoder's positions may allow fewer.
    batch : pairs in a step.
    steps : of training.
    rate : peak learning rate of AdamW, after a tenth of the steps; it falls linearly to zero.

    Raises
    ------
    InputError : if a field is out of range, the model predicts no next token, or the documents have too few
        sentences.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> documents = etude.data.load("novels", "calibration")[:2]
    >>> rankgen = RankGen(steps=2, batch=4, prefix=40, suffix=20, samples=3, chunk=4)
    >>> _ = torch.manual_seed(0)
    >>> generator = rankgen.fit(model, tokenizer, documents)
    >>> (made,) = generator.generate(["It was late, and the house"], length=8)
    >>> len(made.candidates), made.sampled, made.candidates[0].score >= made.candidates[1].score
    (6, 48, True)

    References
    ----------
    Krishna et al., "RankGen: Improving Text Generation with Large Ranking Models", EMNLP 2022.
    arXiv:2205.09726.
    """

    encoder: str = "nano-bert"
    samples: Size = 10
    beams: Size = 2
    chunk: Annotated[int | None, at.Ge(1)] = 20
    top_p: Share = 0.9
    temperature: Annotated[float, at.Interval(gt=0)] = 1.0
    objective: Literal["inbook", "generative", "both"] = "both"
    prefix: Size = 256
    suffix: Annotated[int, at.Ge(SHORTEST)] = 128
    batch: Annotated[int, at.Ge(2)] = 32
    steps: Size = 200
    rate: Annotated[float, at.Interval(gt=0)] = 3e-4

    def fit(self, model: Any, tokenizer: Any, documents: Sequence[str]) -> Generator:
        """Train an encoder on documents, and set it beside the language model."""
        check_generates(model, tokenizer)
        check_documents(documents)
        scorer = Dual(self._trained(model, tokenizer, documents))
        plan = Search(samples=self.samples, beams=self.beams, chunk=self.chunk)
        return Generator(model, tokenizer, self._sampling, plan, scorer)

    @property
    def _sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, top_p=self.top_p)

    def _trained(self, model: Any, tokenizer: Any, documents: Sequence[str]) -> DualEncoder:
        from etude.models.fingerprint import fingerprint

        seed = int(torch.randint(2**31, ()))
        recipe = {name: value for name, value in parameters(self).items() if name not in _SEARCH}
        text = hashlib.sha256("\n\n\n".join(documents).encode()).hexdigest()
        known = (VERSION, recipe, fingerprint(self.encoder), digest(model), text, seed)
        folder = cache_folder("rankgen", hashlib.sha256(repr(known).encode()).hexdigest()[:32])
        if not folder.is_dir():
            with seeded(seed), torch.enable_grad():
                self._train(model, tokenizer, documents).save(folder)
        return DualEncoder.load(folder)

    def _train(self, model: Any, tokenizer: Any, documents: Sequence[str]) -> DualEncoder:
        from etude import models

        encoder = DualEncoder(*models.load(self.encoder)).train()
        found = pairs(documents, encoder.tokenizer, self.prefix, self.suffix)
        if len(found) < 2 or max(map(len, _by_document(found).values())) < 2:
            raise InputError("documents", "have too few sentences for two pairs of prefix and suffix")
        draw = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        lessons = list(itertools.islice(self._lessons(found, draw), self.steps))
        written = self._written(model, tokenizer, [lesson for lesson, own in lessons if own])
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=self.rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share)
        for lesson, own in track(lessons, "training an encoder"):
            prefixes = encoder.embed([pair.prefix for pair in lesson], "prefix")
            suffixes = encoder.embed([pair.suffix for pair in lesson], "suffix")
            negatives = encoder.embed([written[pair] for pair in lesson], "suffix") if own else None
            loss = contrast(prefixes, suffixes, negatives)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return encoder.eval()

    def _lessons(self, found: Sequence[Pair], draw: torch.Generator) -> Iterator[tuple[list[Pair], bool]]:
        """Batches, and whether the language model's own continuations are negatives in them."""
        inbook = ((batch, False) for batch in same_document(found, self.batch, draw))
        generative = ((batch, True) for batch in any_document(found, self.batch, draw))
        turns = {"inbook": [inbook], "generative": [generative], "both": [inbook, generative]}
        for kind in itertools.cycle(turns[self.objective]):
            yield next(kind)

    def _written(self, model: Any, tokenizer: Any, lessons: Sequence[Sequence[Pair]]) -> dict[Pair, str]:
        """What the language model makes of each prefix."""
        wanted = list(dict.fromkeys(pair for lesson in lessons for pair in lesson))
        if not wanted:
            return {}
        longest = max(len(tokenizer(pair.suffix)["input_ids"]) for pair in wanted)
        made = search(model, tokenizer, [pair.prefix for pair in wanted], longest, self._sampling.warp())
        return {pair: tidy(each.text) for pair, each in zip(wanted, made, strict=True)}

    def _share(self, step: int) -> float:
        warm_up = max(1, round(WARM_UP * self.steps))
        return min((step + 1) / warm_up, (self.steps - step) / max(1, self.steps - warm_up))


_SEARCH = ("samples", "beams", "chunk")
"""Fields that training does not depend on."""


def contrast(prefixes: Tensor, suffixes: Tensor, negatives: Tensor | None = None) -> Tensor:
    """Cross-entropy of each prefix's own suffix among all of the batch, and perhaps its own negative.

    ``-log exp(p_i s_i) / (sum_j exp(p_i s_j) + exp(p_i n_i))``, in nats, without temperature.

    Parameters
    ----------
    prefixes, suffixes, negatives : vectors, ``[pairs, width]``.

    Examples
    --------
    >>> bool(contrast(10 * torch.eye(2), torch.eye(2)) < 0.01)
    True
    """
    scores = prefixes @ suffixes.T
    if negatives is not None:
        scores = torch.cat([scores, (prefixes * negatives).sum(1, keepdim=True)], 1)
    return cross_entropy(scores, torch.arange(len(prefixes)))


def check_documents(documents: Any) -> None:
    """Raise `InputError` if these are not texts."""
    if isinstance(documents, str) or not isinstance(documents, Sequence) or not documents:
        raise InputError("documents", "is not a list of one or more texts")
    for place, document in enumerate(documents):
        if not isinstance(document, str) or not document.strip():
            raise InputError("documents", f"number {place} is no text")


def _by_document(found: Sequence[Pair]) -> Mapping[int, list[Pair]]:
    groups: dict[int, list[Pair]] = {}
    for pair in found:
        groups.setdefault(pair.document, []).append(pair)
    return groups
