"""A reranker over the pyramid encoder: pairs of texts in, scores between 0 and 1 out."""

from __future__ import annotations

import json
import math
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from etude.data.sentences import sentences
from etude.errors import InputError
from etude.models.loading import load
from etude.models.saving import save
from etude.search.collection import Document, Qrels, Run
from etude.search.rerank.pyramid_encoder import Pyramid, Segment
from etude.search.rerank.pyramid_losses import anchors
from etude.search.rerank.pyramid_metrics import pairs
from etude.search.rerank.quite import summarize
from etude.search.rerank.reranking import Asked, Ranking

if TYPE_CHECKING:
    from etude.search.rerank.pyramid_ernie import PyramidERNIE

ROWS = 32
"""Pairs that go through the encoder together when it ranks."""

Row = tuple[list[int], list[int]]
"""The tokens of a query with a title, and of a summary."""


class Scorer(nn.Module):
    """The encoder and what makes a score of its states.

    Parameters
    ----------
    encoder : of transformers.
    low : layers that read the texts apart.
    towers : whether the score is of the two texts' first states multiplied, rather than of the first one.
    """

    def __init__(self, encoder: Any, low: int, towers: bool) -> None:
        super().__init__()
        self.pyramid = Pyramid(encoder, low)
        self.towers = towers
        self.head = nn.Linear(encoder.config.hidden_size, 1)
        nn.init.zeros_(self.head.bias)  # scores begin around 1/2, where a sigmoid learns fastest

    def forward(self, first: Segment, second: Segment) -> Tensor:
        """Scores in (0, 1), ``[pairs]``."""
        hidden = self.pyramid(first, second)
        state = hidden[:, 0]
        if self.towers:
            state = state * hidden[:, first.ids.shape[1]]
        found: Tensor = torch.sigmoid(self.head(state)[:, 0])
        return found


@dataclass(frozen=True, eq=False)
class Ranker:
    """A fitted `PyramidERNIE`.

    Parameters
    ----------
    method : how it was made.
    scorer, tokenizer : what scores, and what makes tokens for it.
    weights : how much words tell, for summaries.
    """

    method: PyramidERNIE
    scorer: Scorer
    tokenizer: Any
    weights: Mapping[str, float]

    @property
    def fingerprint(self) -> str:
        """Nothing: the encoder was trained, and is saved with the rest."""
        return ""

    def summary(self, query: str, document: Document) -> str:
        """What is read of a document's text for a query."""
        budget, found = self.method.sentences, sentences(document.text)
        if self.method.summary == "quite":
            chosen = summarize(query, found, self.weights, decay=self.method.decay, budget=budget)
            return chosen.text
        if self.method.summary == "random":
            draw = random.Random(zlib.crc32(f"{query} {document.id}".encode()))
            places = sorted(draw.sample(range(len(found)), min(budget, len(found))))
            return " ".join(found[place] for place in places)
        return " ".join(found[:budget]) if self.method.summary == "first" else ""

    def rows(self, query: str, documents: Sequence[Document]) -> list[Row]:
        """Tokens: ``[CLS] query [SEP] title [SEP]``, and ``summary [SEP]``, of each document."""
        if not documents:
            return []
        method, tokenizer = self.method, self.tokenizer
        titled = [document.title for document in documents]
        read = [self.summary(query, document) for document in documents]
        asked = self._ids([query], method.query)[0]
        begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
        first = [[begin, *asked, end, *ids, end] for ids in self._ids(titled, method.title)]
        second = [[*ids, end] for ids in self._ids(read, method.length)]
        return list(zip(first, second, strict=True))

    def _ids(self, texts: Sequence[str], length: int) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=length, add_special_tokens=False, verbose=False
        )["input_ids"]
        return found

    def segments(self, rows: Sequence[Row]) -> tuple[Segment, Segment]:
        """Rows as two padded batches; positions of the second text go on where the first one's end."""
        firsts, seconds = zip(*rows, strict=True)
        begins = torch.tensor([[len(first)] for first in firsts])
        return self._segment(firsts, torch.zeros_like(begins), 0), self._segment(seconds, begins, 1)

    def _segment(self, texts: Sequence[Sequence[int]], begins: Tensor, kind: int) -> Segment:
        ids = pad_sequence(
            [torch.tensor(text) for text in texts],
            batch_first=True,
            padding_value=self.tokenizer.pad_token_id,
        )
        places = torch.arange(ids.shape[1]).expand_as(ids)
        real = places < torch.tensor([[len(text)] for text in texts])
        return Segment(ids, real, (places * real + begins) + self._first_position, kind)

    @cached_property
    def _first_position(self) -> int:
        """Where an encoder's positions begin: behind the one that stands for padding, if it has such."""
        encoder = self.scorer.pyramid.encoder
        padding = next(
            (m.padding_idx for n, m in encoder.named_modules() if n.endswith("position_embeddings")), None
        )
        return 0 if padding is None else padding + 1

    def __call__(self, rows: Sequence[Row]) -> Tensor:
        """Scores of rows, ``[rows]``."""
        found: Tensor = self.scorer(*self.segments(rows))
        return found

    @torch.no_grad()
    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`."""
        found = []
        for query, documents in asked:
            rows = self.rows(query, documents)
            parts = [self(rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)]
            read = sum(len(first) + len(second) for first, second in rows)
            found.append(Ranking(torch.cat(parts).tolist(), read=read, passes=1))
        return found

    def figures(self, asked: Mapping[str, Asked], run: Run, qrels: Qrels) -> dict[str, float]:
        """``pairs``, the positive-negative ratio; how far scores lie from anchors; the mean of each grade.

        Of judged documents only. Without a pair in the wrong order, the ratio is that with one.
        """
        found = pairs(run, qrels)
        ratio = found.ratio if math.isfinite(found.ratio) else float(found.concordant)
        judged = [
            (score, float(max(qrels[query][document], 0)))
            for query, ranking in run.items()
            for document, score in ranking.items()
            if document in qrels.get(query, {})
        ]
        if not judged:
            return {}
        scores, grades = torch.tensor(judged).unbind(1)
        off = (scores - anchors(grades)).abs().mean()
        means = {f"grade_{int(g)}": float(scores[grades == g].mean()) for g in torch.unique(grades)}
        return {"pairs": ratio, "off_anchor": float(off), **means}

    def save(self, folder: Path) -> None:
        """Write the encoder as a checkpoint of transformers, and the rest beside it."""
        from safetensors.torch import save_file

        save(self.scorer.pyramid.encoder, self.tokenizer, folder / "encoder")
        save_file(dict(self.scorer.head.state_dict()), folder / "head.safetensors")
        (folder / "words.json").write_text(json.dumps(dict(self.weights)), encoding="utf-8")

    @classmethod
    def load(cls, method: PyramidERNIE, folder: Path) -> Ranker:
        """What `save` wrote.

        Raises
        ------
        InputError : naming ``reranker``, if it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        encoder, tokenizer = load(folder / "encoder")
        scorer = method.scorer(encoder)
        try:
            scorer.head.load_state_dict(load_file(folder / "head.safetensors"))
            weights = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise InputError("reranker", f"{folder} holds no ranker: {error}") from error
        return cls(method, scorer.eval(), tokenizer, weights)
