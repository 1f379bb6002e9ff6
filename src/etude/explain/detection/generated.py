"""Machine texts of our own: a language model goes on where a person's text is cut."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import torch

from etude.errors import InputError
from etude.files import cache_folder, new_file
from etude.models.boundary import quiet
from etude.models.likelihood import context_length, evaluating
from etude.progress import track
from etude.seeds import seeded

PROMPT = 20
"""Words of the person's text that the model is given, and that both texts begin with."""
TEMPERATURES, TOP_P = (0.7, 0.8, 0.9, 1.0), 0.95
BATCH = 16


def pairs(name: str, generator: str, count: int, words: int) -> list[dict[str, Any]]:
    """Passages of a text's held-out part, and what a model makes of their beginnings.

    Sampled with temperatures from 0.7 to 1.0 in turn from the tokens that make up 95 % of the probability;
    the same each time, and kept in the user's cache.

    Parameters
    ----------
    name : of running text, as `etude.data.load` takes it.
    generator : a causal language model by name or folder.
    count : passages, at most; they are spread over the text.
    words : of a passage, at least 30.

    Raises
    ------
    InputError : if the text is too short, or there is no such model.
    """
    from etude import data
    from etude.models.fingerprint import fingerprint

    facts = (1, data.fingerprint(name), fingerprint(generator), count, words)
    path = cache_folder("generated", f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.json")
    if not path.is_file():
        rows = _made(passages(data.load(name, "evaluation"), count, words), generator, words)
        with new_file(path) as temporary:
            temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [{**row, "source": name, "model": generator} for row in found]


def passages(documents: list[str], count: int, words: int) -> list[str]:
    """Runs of ``words`` words that begin with a sentence, spread evenly over the documents.

    Examples
    --------
    >>> passages(["A b c. " + "D e f. " * 20], count=1, words=30)[0][:6]
    'A b c.'
    """
    if words < PROMPT + 10:
        raise InputError(
            "words", f"{words} are less than {PROMPT + 10}: a model is given {PROMPT} to go on from"
        )
    found = []
    for document in documents:
        flat = " ".join(document.split())
        starts = [0, *(match.end() for match in re.finditer(r"[.!?][\"'”’]? (?=[\"'“‘A-Z])", flat))]
        end = -1
        for start in starts:
            pieces = flat[start : start + 12 * words].split(" ")[:words]
            if start > end and len(pieces) == words:
                found.append(" ".join(pieces))
                end = start + len(found[-1])
    if not found:
        raise InputError("data", f"holds no passage of {words} words")
    step = max(1.0, len(found) / count)
    return [found[int(number * step)] for number in range(min(count, len(found)))]


def _made(humans: list[str], generator: str, words: int) -> list[dict[str, Any]]:
    from etude import models

    model, tokenizer = models.load(generator)
    if tokenizer is None:
        raise InputError("generator", f"{generator} has no tokenizer; save one beside the weights")
    machines: dict[int, str] = {}
    with seeded(0):
        batches = [
            (temperature, range(first, len(humans), len(TEMPERATURES))[at : at + BATCH])
            for first, temperature in enumerate(TEMPERATURES)
            for at in range(0, len(range(first, len(humans), len(TEMPERATURES))), BATCH)
        ]
        for temperature, places in track(batches, "generating"):
            starts = [" ".join(humans[place].split()[:PROMPT]) for place in places]
            machines |= zip(places, _continued(model, tokenizer, starts, temperature, words), strict=True)
    return [
        {"human": human, "machine": machines[place], "index": place} for place, human in enumerate(humans)
    ]


@torch.no_grad()
def _continued(model: Any, tokenizer: Any, starts: list[str], temperature: float, words: int) -> list[str]:
    """The starts and what the model samples behind them, some three tokens for each word that is missing."""
    encoded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in starts]
    width = max(map(len, encoded))
    end = tokenizer.eos_token_id or 0
    ids = torch.tensor([[end] * (width - len(row)) + row for row in encoded])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in encoded])
    room = (context_length(model) or 10**6) - width
    with quiet(), evaluating(model):
        made = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=temperature,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=min(room, 3 * (words - PROMPT)),
            pad_token_id=end,
        )
    texts = tokenizer.batch_decode(made, skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]
