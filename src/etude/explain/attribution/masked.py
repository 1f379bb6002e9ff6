"""What a masked language model expects in the place of each token, in the words of another vocabulary."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.attribution.probe import Probe
from etude.explain.attribution.proposals import check_masked
from etude.models.likelihood import context_length, evaluating

BATCH = 32
CANDIDATES = 50
"""Of each position: the tail of a distribution is no plausible alternative."""


def expected(probe: Probe, name: str) -> Tensor:
    """Weights ``[length, vocabulary]`` of the causal model's tokens by a masked model's expectation.

    Every token in turn is masked in the prompt's text; the masked model's most likely tokens are carried
    over to the causal vocabulary where one token there has the same text. A position where none has keeps
    its token.

    Raises
    ------
    InputError : naming ``masked`` if it is no masked language model, ``tokenizer`` if there is none.
    """
    if probe.tokenizer is None:
        raise InputError("tokenizer", "is needed to put the prompt before a masked model; give one")
    model, tokenizer = loaded(name)
    decode = probe.tokenizer.decode
    table = _table(name, probe.tokenizer, len(probe.probabilities))
    rows = [
        with_mask(decode(probe.ids[:place]), decode(probe.ids[place + 1 :]), model, tokenizer)
        for place in range(probe.length)
    ]
    weights = torch.zeros(probe.length, len(probe.probabilities))
    for position, likely in enumerate(chances(model, rows, tokenizer)):
        begins = str(decode(probe.ids[position : position + 1])).startswith(" ")
        best = likely.topk(min(CANDIDATES, len(likely)))
        for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            ours = table.get((token, begins))
            if ours is not None:
                weights[position, ours] += chance
    return weights


@lru_cache(maxsize=2)
def loaded(name: str) -> tuple[Any, Any]:
    """A masked language model and its tokenizer; `InputError` names ``masked`` if it is none."""
    from etude import models

    try:
        model, tokenizer = models.load(name)
    except InputError as error:
        raise InputError("masked", error.message) from error
    check_masked(model, tokenizer)
    return model, tokenizer


@lru_cache(maxsize=4)
def _table(name: str, tokenizer: Any, size: int) -> dict[tuple[int, bool], int]:
    """From a masked model's token, and whether it begins a word, to the causal token of the same text.

    WordPiece marks what continues a word by ``##``; byte-level vocabularies mark what begins one.
    """
    masked = loaded(name)[1]
    ours = {
        text: token
        for token, text in reversed(list(enumerate(tokenizer.batch_decode([[t] for t in range(size)]))))
    }
    table: dict[tuple[int, bool], int] = {}
    for token in range(len(masked)):
        piece = masked.convert_ids_to_tokens(token)
        text = masked.decode([token]).strip().removeprefix("##")
        continues = piece.startswith("##")
        for begins in (True, False):
            wanted = f" {text}" if begins else text
            if text and not (begins and continues) and wanted in ours:
                table[token, begins] = ours[wanted]
    return table


def with_mask(before: str, behind: str, model: Any, tokenizer: Any) -> list[int]:
    """One mask between two texts, in the masked model's tokens; what does not fit is cut off at the ends."""
    left, right = (
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in (before, behind)
    )
    room = (context_length(model) or 512) - 3
    right = right[: max(room // 2, room - len(left))]
    left = left[max(0, len(left) + len(right) - room) :]
    return [tokenizer.cls_token_id, *left, tokenizer.mask_token_id, *right, tokenizer.sep_token_id]


@torch.no_grad()
def chances(model: Any, rows: list[list[int]], tokenizer: Any) -> Tensor:
    """Probabilities at the mask of each row, ``[rows, vocabulary]``."""
    found = []
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        width = max(map(len, some))
        padding = tokenizer.pad_token_id or 0
        ids = torch.tensor([row + [padding] * (width - len(row)) for row in some])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in some])
        with evaluating(model):
            output = model(input_ids=ids, attention_mask=mask)
        logits = output.logits if hasattr(output, "logits") else output.prediction_logits
        places = (ids == tokenizer.mask_token_id).int().argmax(1)
        found.append(logits[torch.arange(len(some)), places].float().softmax(-1))
    return torch.cat(found)
