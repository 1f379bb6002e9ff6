"""Tuning of new positions alone: short texts that pretend to stand anywhere in a long window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import annotated_types as at
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize

from etude.errors import InputError
from etude.method import method
from etude.progress import track
from etude.search.embedder import Embedder, padded, pool
from etude.search.long.encoder import LongEncoder, check_embedder, check_texts
from etude.search.long.extension import Extension, check_target
from etude.search.long.growing import interpolated, positions_of, repeated, with_matrix
from etude.search.passages import Pair, pairs

Size = Annotated[int, at.Ge(1)]


@method("position-tuning", task="long-retrieval", paper="longembed")
class PositionTuning:
    """Add positions as `PositionInterpolation` does, and train the new ones, and nothing else.

    Learns from ordinary short pairs of texts: each text of a pair pretends to begin anywhere in the long
    window (its positions are all shifted by the same random number), and has to be nearer to its partner than
    to the partners of the others and to passages that the encoder finds much alike. Old positions stay bit by
    bit, so that a text that fits in the original window keeps its vector. Draws from torch's generator.

    Parameters
    ----------
    start : new positions lie between the old ones ("interpolated") or repeat them ("recurrent"; then all
        positions behind the original ones are new).
    epochs : over the pairs; steps are counted by ``steps`` where that is less.
    steps : at most; None for all of the epochs.
    batch : pairs in a step.
    negatives : passages in a step for each pair that the untouched encoder finds nearest to its first text.
    rate : peak learning rate of AdamW, after ``warm_up`` steps; it falls linearly to zero.
    warm_up : steps.
    sharpness : by which cosines are divided.
    distillation : weight of the divergence from what the untouched encoder makes of the same texts.
    words : tokens of a text of a pair, at most.
    temperature : whether attention is sharpened by ``max(1, log L / log original)`` in a text of L tokens.

    Raises
    ------
    InputError : if a field is out of range, the encoder has no learned positions, or the documents have too
        few sentences.

    Examples
    --------
    >>> import etude
    >>> documents = [text[:2000] for text in etude.data.load("novels", "calibration")[:2]]
    >>> tuning = PositionTuning(steps=1, batch=4, negatives=1, words=20)
    >>> _ = torch.manual_seed(0)
    >>> encoder = tuning.extend(Embedder.load("minilm"), 1024, documents)
    >>> encoder.embedder.model.config.max_position_embeddings
    1024

    References
    ----------
    Zhu et al., "LongEmbed: Extending Embedding Models for Long Context Retrieval", EMNLP 2024.
    arXiv:2404.12096.
    """

    start: Literal["interpolated", "recurrent"] = "interpolated"
    epochs: Size = 3
    steps: Annotated[int | None, at.Ge(1)] = None
    batch: Annotated[int, at.Ge(2)] = 512
    negatives: Annotated[int, at.Ge(0)] = 7
    rate: Annotated[float, at.Interval(gt=0)] = 5e-4
    warm_up: Annotated[int, at.Ge(0)] = 100
    sharpness: Annotated[float, at.Interval(gt=0)] = 0.01
    distillation: Annotated[float, at.Interval(ge=0)] = 0.2
    words: Annotated[int, at.Ge(10)] = 128
    temperature: bool = True

    def check(self, encoder: Embedder, target: int) -> None:
        """Raise `InputError` if the encoder has no learned positions, or the target is below its window."""
        check_embedder(encoder)
        check_target(target, encoder.window)
        if positions_of(encoder.model) is None:
            raise InputError("encoder", f"{type(encoder.model).__name__} has no learned positions to tune")

    def extend(self, encoder: Embedder, target: int, documents: Sequence[str]) -> LongEncoder:
        """Stretch the window to ``target`` tokens, and learn the new positions from documents."""
        self.check(encoder, target)
        known = positions_of(encoder.model)
        assert known is not None
        found = self._pairs(encoder, documents)
        between = self.start == "interpolated"
        extension = Extension(
            encoder.window,
            target,
            positions="spread" if between else "plain",
            temperature=self.temperature,
        )
        grow = interpolated if between else repeated
        grown = with_matrix(encoder.model, grow(known.weight.detach(), extension.scale))
        with torch.enable_grad():
            self._tune(grown, encoder, extension, found)
        return LongEncoder.of(encoder, grown, extension)

    def _pairs(self, encoder: Embedder, documents: Any) -> list[Pair]:
        try:
            check_texts(documents)
        except InputError as error:
            raise InputError("documents", error.message) from None
        found = pairs(documents, encoder.tokenizer, self.words, self.words)
        if len(found) < 2:
            raise InputError("documents", "have too few sentences for two pairs of texts")
        return found

    def _tune(self, grown: Any, encoder: Embedder, extension: Extension, found: Sequence[Pair]) -> None:
        matrix = positions_of(grown)
        assert matrix is not None
        rows = torch.arange(len(matrix.weight))
        old = rows % extension.scale == 0 if self.start == "interpolated" else rows < extension.original
        anchors = matrix.weight.detach().clone()
        grown.requires_grad_(False)
        free = nn.Parameter(anchors[~old])
        lessons = list(self._lessons(encoder, found))
        optimizer = torch.optim.AdamW([free], lr=self.rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._share(step, len(lessons)))
        name = next(key for key, module in grown.named_modules() if module is matrix)
        for questions, passages, taught in track(lessons, "tuning positions"):
            weight = {f"{name}.weight": anchors.index_copy(0, (~old).nonzero()[:, 0], free)}
            vectors = [
                self._shifted(grown, weight, encoder, texts, extension) for texts in (questions, passages)
            ]
            loss = self._loss(vectors[0] @ vectors[1].T, taught)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        matrix.weight.data[~old] = free.detach()

    def _lessons(
        self, encoder: Embedder, found: Sequence[Pair]
    ) -> Iterator[tuple[list[str], list[str], Tensor]]:
        """Questions, passages (of the i-th question the i-th), and cosines of the untouched encoder."""
        order = torch.cat([torch.randperm(len(found)) for _ in range(self.epochs)])
        steps = torch.split(order, self.batch)[: self.steps]
        used = torch.unique(torch.cat(steps))  # no more is encoded than is learnt from
        prefixes = [found[place].prefix for place in used.tolist()]
        suffixes = [found[place].suffix for place in used.tolist()]
        alike = encoder.encode(prefixes) @ encoder.encode(suffixes).T
        hard = alike.masked_fill(torch.eye(len(used), dtype=torch.bool), -torch.inf)
        ranked = hard.topk(min(self.negatives, len(used) - 1)).indices
        for step in steps:
            own = torch.searchsorted(used, step)
            places = torch.cat([own, ranked[own].flatten()])
            texts = [suffixes[place] for place in places.tolist()]
            yield [prefixes[place] for place in own.tolist()], texts, alike[own][:, places]

    def _shifted(
        self,
        grown: Any,
        weight: dict[str, Tensor],
        encoder: Embedder,
        texts: Sequence[str],
        extension: Extension,
    ) -> Tensor:
        """Vectors of short texts, each at a random place of the long window, ``[texts, width]``."""
        ids, mask = padded(encoder.ids(texts), encoder.tokenizer.pad_token_id or 0)
        room = extension.scale * extension.original - ids.shape[1]
        shift = torch.randint(min(room, extension.target - extension.original) + 1, (len(ids), 1))
        given = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": torch.zeros_like(ids),
            "position_ids": torch.arange(ids.shape[1]) + shift,
        }
        states = torch.func.functional_call(grown, weight, (), given).last_hidden_state
        return normalize(pool(states, mask, encoder.pooling), dim=1)

    def _loss(self, cosines: Tensor, taught: Tensor) -> Tensor:
        """Contrast, and what is lost of the untouched encoder's view of the same texts."""
        scores = cosines / self.sharpness
        learnt, known = log_softmax(scores, 1), log_softmax(taught / self.sharpness, 1)
        lost = kl_div(learnt, known, reduction="batchmean", log_target=True)
        return cross_entropy(scores, torch.arange(len(scores))) + self.distillation * lost

    def _share(self, step: int, steps: int) -> float:
        if step < min(self.warm_up, steps):
            return (step + 1) / (self.warm_up + 1)
        return (steps - step) / max(1, steps - self.warm_up)
