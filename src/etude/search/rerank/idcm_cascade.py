"""A trained cascade inside documents: a fast model chooses windows, a cross-encoder reads only those."""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.loading import read_folder
from etude.models.saving import save
from etude.search.collection import Document, Qrels, Run
from etude.search.rerank.idcm_reading import Reader, bm25, spans
from etude.search.rerank.idcm_selector import Selector, embedder
from etude.search.rerank.idcm_windows import Windows, aggregate, best
from etude.search.rerank.reranking import Asked, Ranking

if TYPE_CHECKING:
    from etude.search.rerank.idcm import IDCM


ASKED, SEEN = 4, 4
"""Queries, and documents of each, of which `Cascade.figures` tells."""


@dataclass(frozen=True)
class Passage:
    """A window of a document, and what was made of it.

    Parameters
    ----------
    text : as the document has it.
    start : of its first character.
    selected : what the choice went by; higher is read first.
    score : the cross-encoder's; None where it was not read.
    """

    text: str
    start: int
    selected: float
    score: float | None


@dataclass(frozen=True)
class Scored:
    """What became of a query's documents.

    Parameters
    ----------
    documents : their scores, ``[documents]``.
    windows : all of them.
    preference : what windows are chosen by, ``[windows]``.
    chosen : which were read, bool ``[windows]``.
    scores : the cross-encoder's of the chosen, ``[chosen]``; of the fast model where it alone scores.
    read : tokens that went through the cross-encoder.
    """

    documents: Tensor
    windows: Windows
    preference: Tensor
    chosen: Tensor
    scores: Tensor
    read: int


@dataclass(frozen=True, eq=False)
class Cascade:
    """A fitted `IDCM`.

    Parameters
    ----------
    method : how it was made, and what it does when it ranks.
    scorer, reader : the cross-encoder (ETM), and what makes tokens for it.
    weights : of a document's best window scores, by their order, ``[L]``.
    selector : the fast model (ESM), or None where nothing asks it.
    idf : of tokens in the corpus, for BM25.
    """

    method: IDCM
    scorer: Any
    reader: Reader
    weights: Tensor
    selector: Selector | None
    idf: Tensor

    @property
    def fingerprint(self) -> str:
        """Nothing: the cross-encoder was trained, and is saved with the rest."""
        return ""

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See `etude.search.rerank.reranking.Engine`; the fast model's pass counts, its tokens do not."""
        found = [self.score(query, documents) for query, documents in asked]
        passes = (self.method.score == "etm") + (self.selector is not None)
        return [Ranking(each.documents.tolist(), read=each.read, passes=passes) for each in found]

    def figures(self, asked: Mapping[str, Asked], run: Run, qrels: Qrels) -> dict[str, float]:
        """How the times of single documents spread, and how many of the best windows are chosen.

        Both of the first documents of the first queries: ``spread`` is the standard deviation of the seconds
        that a document takes over their mean, ``recall`` the share of the ``keep`` windows that the
        cross-encoder likes best which are chosen.
        """
        pairs = [(query, d) for query, documents in [*asked.values()][:ASKED] for d in documents[:SEEN]]
        times, found = [], []
        whole = replace(self, method=replace(self.method, select="all", score="etm"))
        for query, document in pairs:
            begun = time.perf_counter()
            mine = self.score(query, [document])
            times.append(time.perf_counter() - begun)
            if self.method.select != "all" and self.method.score == "etm":
                every = whole.score(query, [document])
                wanted = best(every.scores, every.windows.counts, self.method.keep)
                found.append(float(mine.chosen[wanted].float().mean()))
        spread = {"spread": statistics.pstdev(times) / statistics.fmean(times)} if times else {}
        return spread | ({"recall": statistics.fmean(found)} if found else {})

    @torch.no_grad()
    def score(self, query: str, documents: Sequence[Document]) -> Scored:
        """Choose windows of every document, read them, and put their scores together."""
        asked = self.reader.asked(query)
        windows = self.reader.windows(self.reader.told([document.content for document in documents]))
        preference = self.preference(query, asked, windows)
        if self.method.score == "esm":
            chosen, scores, read = torch.ones(len(windows), dtype=torch.bool), preference, 0
        else:
            keep = int(windows.counts.max()) if self.method.select == "all" else self.method.keep
            chosen = best(preference, windows.counts, keep)
            scores = self.reader(self.scorer, asked, windows.chosen(chosen))
            read = int(windows.real[chosen].sum() + chosen.sum() * (len(asked) + 1))
        weights = self.weights if self.method.aggregation == "learned" else torch.ones(1)
        combined = aggregate(scores, windows.chosen(chosen).counts, weights)
        return Scored(combined, windows, preference, chosen, scores, read)

    def preference(self, query: str, asked: Tensor, windows: Windows) -> Tensor:
        """What windows are chosen by, ``[windows]``."""
        if self.method.select == "esm" or self.method.score == "esm":
            return self.selected(asked, windows)
        if self.method.select == "bm25":
            return bm25(asked, windows, self.idf)
        if self.method.select == "random":  # drawn from what is drawn for, whatever stands beside it
            numbers = [zlib.crc32(f"{query} {row}".encode()) for row in windows.ids.tolist()]
            return torch.tensor(numbers, dtype=torch.float64)
        return -windows.starts.float()

    def selected(self, asked: Tensor, windows: Windows) -> Tensor:
        """Scores of the fast model, ``[windows]``."""
        assert self.selector is not None
        embed, everyone = embedder(self.scorer), torch.zeros(len(windows), dtype=torch.long)
        present = torch.ones(1, len(asked), dtype=torch.bool)
        return torch.cat(
            [
                self.selector(embed(asked[None]), present, embed(ids), real, owner)
                for ids, real, owner in zip(
                    *(torch.split(part, 64) for part in (windows.ids, windows.real, everyone)), strict=True
                )
            ]
        )

    def evidence(self, query: str, document: Document) -> list[Passage]:
        """The windows that made up a document's score, the most telling first."""
        found, text = self.score(query, [document]), document.content
        told = self.reader.tokenizer(
            text,
            truncation=True,
            max_length=self.reader.document,
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )["offset_mapping"]
        if not told:
            return []
        places = spans(told, found.windows.starts[found.chosen].tolist(), self.reader.size)
        preference, read = found.preference[found.chosen].tolist(), self.method.score == "etm"
        return [
            Passage(text[slice(*places[at])], places[at][0], preference[at], score if read else None)
            for at, score in sorted(enumerate(found.scores.tolist()), key=lambda pair: -pair[1])
        ]

    def save(self, folder: Path) -> None:
        """Write the cross-encoder as a checkpoint of transformers, and the rest beside it."""
        from safetensors.torch import save_file

        save(self.scorer, self.reader.tokenizer, folder / "scorer")
        learnt = {"weights": self.weights, "idf": self.idf}
        if self.selector is not None:
            learnt |= {f"selector.{name}": value for name, value in self.selector.state_dict().items()}
        save_file({name: value.clone() for name, value in learnt.items()}, folder / "cascade.safetensors")

    @classmethod
    def load(cls, method: IDCM, folder: Path) -> Cascade:
        """What `save` wrote.

        Raises
        ------
        InputError : naming ``reranker``, if it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        scorer, tokenizer = read_folder(folder / "scorer")
        selector = None
        try:
            learnt = load_file(folder / "cascade.safetensors")
            weights, idf = learnt.pop("weights"), learnt.pop("idf")
            if learnt:
                selector = Selector(scorer.config.hidden_size, method.selector).eval()
                selector.load_state_dict({name.partition(".")[2]: value for name, value in learnt.items()})
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError("reranker", f"{folder} holds no cascade: {error}") from error
        return cls(method, scorer, Reader.of(method, tokenizer), weights, selector, idf)
