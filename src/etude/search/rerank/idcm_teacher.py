"""The trained cross-encoder of a cascade, kept in the cache: methods that differ behind it share it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.method import parameters
from etude.models.fingerprint import fingerprint
from etude.models.loading import read_folder
from etude.models.saving import save
from etude.models.scorer import load_scorer
from etude.search.collection import Corpus, Judged, Run
from etude.search.rerank.idcm_cascade import Cascade
from etude.search.rerank.idcm_course import Course, checked, course
from etude.search.rerank.idcm_reading import Reader, inverse_frequencies
from etude.search.rerank.idcm_training import taught

if TYPE_CHECKING:
    from etude.search.rerank.idcm import IDCM

_BEHIND = ("keep", "select", "score", "aggregation", "selector", "loss", "selector_epochs", "selector_rate")
"""Fields that only what follows the cross-encoder depends on."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained cross-encoder, what it was taught on, and its scores of all windows there.

    Parameters
    ----------
    cascade : reads every window of a document.
    course : what it was taught.
    scores : of the windows of each of the course's pairs.
    """

    cascade: Cascade
    course: Course
    scores: list[Tensor]


def teacher(method: IDCM, corpus: Corpus, judged: Judged, run: Run, seed: int) -> Teacher:
    """Train a cross-encoder in the first two steps, or take it from the cache.

    Raises
    ------
    InputError : naming ``model``, or what is wrong with what there is to learn from.
    """
    documents = checked(corpus, judged, run)
    scorer, tokenizer = load_scorer(method.model, seed)
    reader = Reader.of(method, tokenizer)
    idf = inverse_frequencies(
        reader.told([document.content for document in documents.values()]), scorer.config.vocab_size
    )
    whole = replace(method, select="all", score="etm", aggregation="learned")
    cascade = Cascade(whole, scorer, reader, torch.ones(method.top), None, idf)
    lessons = course(method, reader, documents, judged, run, seed)
    folder = cache_folder("idcm", _address(method, lessons, idf, seed))
    if not folder.is_dir():
        trained = taught(cascade, lessons, seed)
        try:
            with new_folder(folder) as temporary:
                _write(temporary, trained, _scores(trained, lessons))
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return _read(folder, cascade, lessons)


def _address(method: IDCM, lessons: Course, idf: Tensor, seed: int) -> str:
    """All that determines the cross-encoder."""
    fields = {name: value for name, value in parameters(method).items() if name not in _BEHIND}
    facts = [fingerprint(method.model), fields, seed, lessons.tokens]
    facts += [[[each.query.tolist(), each.better, each.worse] for each in lessons.lessons]]
    facts += [[[each.text, each.better, each.worse] for each in lessons.kept_back], len(lessons.whole)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(idf.numpy().tobytes())
    return digest.hexdigest()[:32]


@torch.no_grad()
def _scores(cascade: Cascade, lessons: Course) -> Tensor:
    """Of every window of every pair, one after the other."""
    return torch.cat(
        [
            cascade.reader(cascade.scorer, lesson.query, cascade.reader.windows([lessons.tokens[document]]))
            for lesson, document in lessons.pairs
        ]
    )


def _write(folder: Path, cascade: Cascade, scores: Tensor) -> None:
    from safetensors.torch import save_file

    save(cascade.scorer, cascade.reader.tokenizer, folder / "scorer")
    save_file({"weights": cascade.weights.clone(), "scores": scores}, folder / "teacher.safetensors")


def _read(folder: Path, start: Cascade, lessons: Course) -> Teacher:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(folder / "teacher.safetensors")
    cascade = Cascade(
        start.method, read_folder(folder / "scorer")[0], start.reader, tensors["weights"], None, start.idf
    )
    counts = start.reader.windows([lessons.tokens[document] for _, document in lessons.pairs]).counts
    return Teacher(cascade, lessons, list(torch.split(tensors["scores"], counts.tolist())))
