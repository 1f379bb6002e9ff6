"""mini-bert, taught to tell which of two passages words come from: a small encoder that compares texts.

Here is the recipe: passages of a few sentences of the built-in novels (public domain), queries of words drawn
from a passage, and RankNet against other passages of the same novel. A quarter of a minute on one core.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import softplus

from etude.data.sentences import sentences
from etude.data.sources import load as load_text
from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.models.fingerprint import fingerprint
from etude.models.saving import save
from etude.models.scorer import load_scorer
from etude.progress import track

STEPS, BATCH, RATE, SEED = 60, 12, 5e-4, 0
SENTENCES, WORDS, LENGTH, WARM_UP = 3, 6, 80, 12
"""Sentences of a passage, words of a query, tokens of a pair at most; steps in which the rate grows."""

_WORD = re.compile(r"[a-z]{4,}")


def triples(novels: list[str], count: int, draw: random.Random) -> list[tuple[str, str, str]]:
    """Queries of words, the passages that they come from, and other passages of the same novel.

    Examples
    --------
    >>> novel = "Many ships sailed westward. " * 3 + "Nobody remembers that harbour. " * 3
    >>> query, passage, other = triples([novel], 1, random.Random(0))[0]
    >>> set(query.split()) <= set(_WORD.findall(passage.lower()))
    True
    """
    passages = [_passages(novel) for novel in novels]
    found: list[tuple[str, str, str]] = []
    while len(found) < count:
        passage, other = draw.sample(draw.choice(passages), 2)
        words = sorted(set(_WORD.findall(passage.lower())))
        found.append((" ".join(draw.sample(words, min(WORDS, len(words)))), passage, other))
    return found


def _passages(novel: str) -> list[str]:
    found = sentences(novel)
    return [" ".join(found[at : at + SENTENCES]) for at in range(0, len(found) - SENTENCES + 1, SENTENCES)]


def teach(model: Any, tokenizer: Any, novels: list[str], steps: int = STEPS) -> None:
    """Train a cross-encoder in place, by RankNet."""
    lessons = triples(novels, steps * BATCH, random.Random(SEED))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / WARM_UP))
    model.train()
    for step in track(range(steps), "mini-cross"):
        queries, better, worse = zip(*lessons[step * BATCH : (step + 1) * BATCH], strict=True)
        inputs = tokenizer(
            [*queries, *queries],
            [*better, *worse],
            padding=True,
            truncation="only_second",
            max_length=LENGTH,
            return_tensors="pt",
        )
        found, other = model(**inputs).logits[:, 0].chunk(2)
        torch.autograd.backward(softplus(other - found).mean())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        warm.step()
    model.eval()


def built(source: Path) -> Path:
    """The taught copy of the encoder in ``source``: found in the cache, or made there."""
    folder = cache_folder("mini-cross", f"{fingerprint(source)[:24]}-{STEPS}-{BATCH}-{RATE}-{SEED}")
    if not folder.is_dir():
        model, tokenizer = load_scorer(source)
        teach(model, tokenizer, load_text("novels", "calibration"))
        try:
            with new_folder(folder) as temporary:
                save(model, tokenizer, temporary)
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return folder
