"""ColBERT-XM: late interaction learnt in one language, for all that the backbone has adapters of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at

from etude.errors import InputError
from etude.method import method
from etude.search.collection import Corpus, Judged
from etude.search.retrieve.index import Index, build

if TYPE_CHECKING:
    from torch import Tensor

    from etude.search.late.engine import LateEngine
    from etude.search.late.segment import Segment

Count = Annotated[int, at.Ge(1)]
CountOrNone = Annotated[int, at.Ge(0)]
Share = Annotated[float, at.Interval(ge=0, le=1)]


@method("colbert-xm", task="retrieve", paper="colbert-xm")
class ColBERTXM:
    """Fine-tune what languages share, on one language, and switch in the adapter of each text's language.

    The backbone has an adapter for each language in every layer, from pre-training. Fine-tuning trains all
    but the embeddings and the adapters, with that of ``source_language`` switched in. In search, the language
    of every document and every query is detected, text by text, and its adapter is switched in. Languages can
    be added to the backbone before or after (`etude.search.modular.encoder.plugged`).

    It learns from judged queries if there are any, else from ``source``, once: what it learnt is kept in the
    cache. The paper fine-tunes ``xmod-base`` (81 languages, 853 million parameters) on 6.4 million English
    triples of MS MARCO: 50,000 steps of 128 pairs at 3e-6 by the model's card; the defaults here are for
    small backbones.

    Parameters
    ----------
    backbone : a recipe of `etude.search.modular.backbones`, made when it is first used, or the folder of an
        X-MOD checkpoint.
    source : the collection whose queries it learns from if it is given none; "" for the corpus itself: titles
        and sentences with the text they come from.
    source_language : of the texts that it learns from; "" to detect that of each.
    language : of the texts that it searches and is asked; "" to detect that of each.
    width : of a vector.
    query_length, document_length : tokens of a text; queries are filled up to theirs with masks.
    vectors : "tokens"; "first" for a retriever with a single vector a text, from the same training.
    steps : of fine-tuning.
    batch : pairs in a step.
    rate : peak learning rate of AdamW.
    warm_up : share of the steps in which the rate rises; then it falls linearly to 0.
    negatives : hard ones of each pair, from BM25.
    in_batch : whether documents of other queries are wrong ones too.
    teacher : an encoder of sentences whose scores are to be learnt ("minilm"); "" for the pairs alone.
    sharpness : factor of the teacher's scores.
    bits : of a number of a stored vector, which is coded as the rest beside its centroid; 32 for all of it.
    lists : centroids of a segment; 0 for four times the root of its number of tokens.
    probes : lists that a query's token visits; 0 for all.
    tokens : nearest ones of each query token, from which candidates come.
    candidates : documents that are gathered and scored exactly.

    Raises
    ------
    InputError : if a field is out of range, or the backbone lacks a language.

    Examples
    --------
    >>> from etude.search.collection import Document, Judged
    >>> documents = [Document("a", "All human beings are born free."), Document("b", "Nobody sings.")]
    >>> judged = Judged({"q": "who is born free?", "r": "who sings?"}, {"q": {"a": 1}, "r": {"b": 1}})
    >>> index = ColBERTXM(backbone="tiny-xmod", steps=40).index(documents, judged)
    >>> list(index.search({"q": "born free"})["q"])
    ['a', 'b']

    References
    ----------
    Louis et al., "ColBERT-XM: A Modular Multi-Vector Representation Model for Zero-Shot Multilingual
    Information Retrieval", COLING 2025. arXiv:2402.15059.
    """

    backbone: str = "nano-xmod"
    source: str = "xquad-train-en"
    source_language: str = "en"
    language: str = ""
    width: Count = 128
    query_length: Annotated[int, at.Ge(4)] = 32
    document_length: Annotated[int, at.Ge(4)] = 256
    vectors: Literal["tokens", "first"] = "tokens"
    steps: CountOrNone = 200
    batch: Count = 16
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    warm_up: Share = 0.1
    negatives: CountOrNone = 1
    in_batch: bool = True
    teacher: str = ""
    sharpness: Annotated[float, at.Interval(gt=0)] = 1.0
    bits: Literal[1, 2, 4, 8, 32] = 2
    lists: CountOrNone = 0
    probes: CountOrNone = 16
    tokens: Count = 500
    candidates: Count = 500

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Fine-tune, and index the corpus."""
        from etude.search.modular.learning import learnt

        return build(self, self._engine(learnt(self, corpus, judged, seed)), corpus)

    def engine(self, folder: Path | None = None) -> LateEngine:
        """The engine, with the retriever that was fine-tuned."""
        from etude.search.modular.retriever import read

        if folder is None:
            raise InputError("index", "colbert-xm has to be fine-tuned before it searches")
        return self._engine(read(folder / "encoder"))

    def _engine(self, retriever: object) -> LateEngine:
        from etude.search.late.engine import LateEngine

        return LateEngine(retriever, self.find, self.bits, self.lists, learnt=True)  # type: ignore[arg-type]

    def find(
        self, segments: Sequence[Segment], query: Tensor, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and scores of the best ``k`` documents for token vectors ``[query tokens, width]``."""
        from etude.search.late.search import gather, retrieve, top

        found = retrieve(segments, query, self.tokens, self.probes or None, allowed)
        candidates = top(found.documents, found.scores, max(k, self.candidates))[0].sort().values
        return top(candidates, gather(segments, query, candidates), k)
