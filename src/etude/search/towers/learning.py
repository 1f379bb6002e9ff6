"""From pages, or a corpus alone, to towers that are pre-trained, and fine-tuned on judged queries."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from etude.data.pages import Page, load_pages
from etude.data.pages.passages import passages
from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.method import parameters
from etude.models.fingerprint import fingerprint
from etude.search.collection import Corpus, Document, Judged
from etude.search.retrieve.store import checked
from etude.search.towers import encoder
from etude.search.towers.encoder import Towers
from etude.search.towers.pairs import Kind, Pair, Source, page_of
from etude.search.towers.training import Schedule, train, train_masked
from etude.seeds import seeded

if TYPE_CHECKING:
    from etude.search.retrieve.two_tower import TwoTower


def learnt(method: TwoTower, corpus: Corpus, judged: Judged | None, seed: int) -> Towers:
    """The method's towers, trained; what was learnt from named pages is kept in the cache.

    Raises
    ------
    InputError : naming ``pages``, ``encoder``, ``tasks`` or ``corpus``.
    """
    documents = _documents(corpus) if judged is not None or not method.pages else []
    pages = _pages(method, documents)
    towers = _kept(method, pages, seed) if method.pages else _pretrained(method, pages, seed)
    if judged is not None:
        tuning = Schedule(steps=method.tuning_steps, batch=method.tuning_batch, rate=method.tuning_rate)
        train(towers, asked(documents, judged, seed), tuning, part=method.part, masked=True)
    return towers


def _kept(method: TwoTower, pages: Sequence[Page], seed: int) -> Towers:
    known = {name: value for name, value in parameters(method).items() if not name.startswith("tuning_")}
    known["encoder"] = _identified(method.encoder)
    total = hashlib.sha256(json.dumps([known, seed], sort_keys=True).encode())
    for page in pages:
        total.update(repr(page).encode())
    folder = cache_folder("towers", total.hexdigest()[:16])
    if not folder.exists():
        towers = _pretrained(method, pages, seed)
        with new_folder(folder) as temporary:
            towers.save(temporary)
    return encoder.read(folder)


def _identified(name: str) -> str:
    try:
        return fingerprint(name) if name else ""
    except InputError as error:
        raise InputError("encoder", error.message) from error


def _pretrained(method: TwoTower, pages: Sequence[Page], seed: int) -> Towers:
    source = Source(pages, keep=method.keep)
    schedule = Schedule(steps=method.steps, batch=method.batch, rate=method.rate, warm_up=method.warm_up)
    with seeded(seed):
        towers = _untrained(method, source)
        if method.tasks == ("mlm",):
            train_masked(towers, source.texts, schedule)
        elif kinds := _kinds(method, source):
            train(towers, source.drawn(kinds, seed), schedule, part=method.part, masked=method.masked)
    return towers


def _untrained(method: TwoTower, source: Source) -> Towers:
    if method.encoder:
        return encoder.of_model(
            method.encoder,
            width=method.width,
            shared=method.shared,
            query_length=method.query_length,
            passage_length=method.passage_length,
        )
    return encoder.fresh(
        source.texts,
        body=method.body,
        hidden=method.hidden,
        layers=method.layers,
        width=method.width,
        shared=method.shared,
        query_length=method.query_length,
        passage_length=method.passage_length,
    )


def _kinds(method: TwoTower, source: Source) -> list[Kind]:
    """The tasks of the method for which there are pairs."""
    there = source.kinds()
    found = [kind for kind in method.tasks if kind in there]
    if method.tasks and not found and method.pages:
        raise InputError("tasks", f"the pages have no pairs for {', '.join(method.tasks)}; they have {there}")
    return found


def _pages(method: TwoTower, documents: Sequence[Document]) -> Sequence[Page]:
    if method.pages:
        return load_pages(method.pages)
    pages = [page_of(document) for document in documents]
    if not any(passages(page) for page in pages):
        raise InputError("corpus", "holds no text to learn from")
    return pages


def _documents(corpus: Corpus) -> list[Document]:
    if isinstance(corpus, (str, bytes, Mapping)) or not isinstance(corpus, Iterable):
        raise InputError("corpus", f"{corpus!r:.60} is no corpus; give an iterable of Document")
    return [checked(document) for document in corpus]


def asked(documents: Sequence[Document], judged: Judged, seed: int) -> Iterator[Pair]:
    """Judged queries with a relevant document each, pass after pass; none if there are none."""
    texts = {document.id: document for document in documents}
    found = [
        Pair(judged.queries[query], document.text, document.title, document.id, query, "judged")
        for query, grades in judged.qrels.items()
        for document in (texts[name] for name, grade in grades.items() if grade > 0 and name in texts)
    ]
    draw = random.Random(seed)
    while found:
        draw.shuffle(found)
        yield from found
