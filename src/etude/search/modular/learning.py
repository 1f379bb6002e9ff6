"""From a corpus, judged queries or a named collection to a fine-tuned retriever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from etude.data.collections import load_collection
from etude.errors import InputError
from etude.files import cache_folder
from etude.method import parameters
from etude.models.fingerprint import fingerprint
from etude.search.collection import Corpus, Document, Judged
from etude.search.late.pairs import Pair, pairs_of
from etude.search.modular import encoder as modular
from etude.search.modular.backbones import locate
from etude.search.modular.retriever import Retriever, head, read
from etude.search.modular.tuning import Settings, Teacher, texts_of, tune
from etude.search.retrieve.store import checked
from etude.seeds import seeded

if TYPE_CHECKING:
    from etude.search.retrieve.colbert_xm import ColBERTXM

POOL = 20_000
"""Documents, beside those that are judged, from which hard negatives come."""
_OF_SEARCH = ("language", "bits", "lists", "probes", "tokens", "candidates")
"""Fields that fine-tuning does not know."""


def learnt(method: ColBERTXM, corpus: Corpus, judged: Judged | None, seed: int) -> Retriever:
    """The method's retriever, fine-tuned; what was learnt from a named source is kept in the cache.

    Raises
    ------
    InputError : naming ``backbone``, ``language``, ``source``, ``teacher`` or ``corpus``.
    """
    encoder = modular.load(locate(method.backbone))
    for language in filter(None, (method.language, method.source_language)):
        encoder.number(language)
    if judged is not None or not method.source:
        pairs = pairs_of(_documents(corpus, judged), judged, seed, method.negatives)
        retriever = _tuned(method, encoder, pairs, seed)
    else:
        retriever = _of_source(method, encoder, seed)
    retriever.language = method.language
    return retriever


def _of_source(method: ColBERTXM, encoder: modular.Modular, seed: int) -> Retriever:
    try:
        source = load_collection(method.source)
    except InputError as error:
        raise InputError("source", error.message) from error
    known = {name: value for name, value in parameters(method).items() if name not in _OF_SEARCH}
    facts = json.dumps([known, seed, fingerprint(str(locate(method.backbone)))], sort_keys=True)
    total = hashlib.sha256(facts.encode())
    total.update(repr(source).encode())
    folder = cache_folder("retrievers", f"colbert-xm-{total.hexdigest()[:16]}")
    if not folder.exists():
        judged = Judged(source.queries, source.qrels)
        _tuned(method, encoder, pairs_of(source.documents, judged, seed, method.negatives), seed).save(folder)
    return read(folder)


def _tuned(method: ColBERTXM, encoder: modular.Modular, pairs: Sequence[Pair], seed: int) -> Retriever:
    teacher = _teacher(method.teacher, pairs) if method.teacher else None
    settings = Settings(
        steps=method.steps,
        batch=method.batch,
        rate=method.rate,
        warm_up=method.warm_up,
        in_batch=method.in_batch,
        sharpness=method.sharpness,
    )
    with seeded(seed):
        retriever = Retriever(
            encoder,
            head(encoder, method.width),
            query_length=method.query_length,
            document_length=method.document_length,
            vectors=method.vectors,
            language=method.source_language,
        )
        tune(retriever, pairs, settings, teacher)
    return retriever


def _documents(corpus: Corpus, judged: Judged | None) -> list[Document]:
    """Those that are judged, and the first `POOL` others."""
    if isinstance(corpus, (str, bytes, Mapping)) or not isinstance(corpus, Iterable):
        raise InputError("corpus", f"{corpus!r:.60} is no corpus; give an iterable of Document")
    if judged is None:
        return list(islice(map(checked, corpus), POOL))
    wanted = {document for grades in judged.qrels.values() for document in grades}
    kept, others = [], 0
    for document in map(checked, corpus):
        if document.id in wanted or others < POOL:
            kept.append(document)
            others += document.id not in wanted
    return kept


def _teacher(name: str, pairs: Sequence[Pair]) -> Teacher:
    """Cosines of an encoder's vectors, made once for all texts."""
    from etude.search.embedder import Embedder

    texts = dict.fromkeys(text for pair in pairs for text in (pair.query, *texts_of(pair)))
    try:
        embedder = Embedder.load(name)
    except InputError as error:
        raise InputError("teacher", error.message) from error
    vectors = dict(zip(texts, embedder.encode([*texts]), strict=True))

    def score(query: str, documents: Sequence[str]) -> Tensor:
        found: Tensor = torch.stack([vectors[text] for text in documents]) @ vectors[query]
        return found

    return score
