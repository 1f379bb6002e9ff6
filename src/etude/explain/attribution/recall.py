"""A small model that recalls: it has learnt to answer a key with the value that once stood behind it.

Where the answer comes from is then known exactly, which natural text seldom allows. The model is trained
when it is first asked for (ten seconds of one core) and kept in the user's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from etude.explain.attribution.prompts import Prompt
from etude.files import cache_folder
from etude.progress import track
from etude.seeds import seeded

NAME = "recall"
WORDS, PAIRS = 512, 10
"""Half of the words are keys, half are values; a prompt holds this many pairs and a key."""
STEPS, BATCH, RATE = 600, 64, 3e-3


def prompts(count: int, seed: int) -> list[Prompt]:
    """Pairs of a key and a value in random order, then one of the keys; the cue is its value.

    Examples
    --------
    >>> prompt = prompts(1, seed=0)[0]
    >>> key, value = prompt.ids[-1], prompt.ids[prompt.cue[0]]
    >>> bool(prompt.ids[prompt.cue[0] - 1] == key), prompt.target == int(value)
    (True, True)
    """
    draw = torch.Generator().manual_seed(seed)
    pairs = _pairs(count, PAIRS, draw)
    asked = torch.randint(PAIRS, (count,), generator=draw)
    keys, values = pairs[torch.arange(count), asked].unbind(1)
    ids = torch.cat([pairs.flatten(1), keys[:, None]], 1)
    cues = (2 * asked + 1).tolist()
    return [Prompt(*each) for each in zip(ids, values.tolist(), ((cue,) for cue in cues), strict=True)]


def load() -> tuple[Any, None]:
    """The model, trained if it is not in the cache yet; it has no tokenizer, for its words are numbers."""
    from etude import models

    folder = cache_folder("models", f"{NAME}-{WORDS}-{PAIRS}-{STEPS}")
    if not folder.is_dir():
        models.save(train(), None, folder)
    return models.load(folder)[0], None


def train(steps: int = STEPS) -> Any:
    """Train the model; the same each time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    with seeded(0), torch.enable_grad():
        config = LlamaConfig(
            vocab_size=WORDS,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        model = LlamaForCausalLM(config).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
        draw = torch.Generator().manual_seed(0)
        for step in track(range(steps), "training a model that recalls"):
            pairs = min(
                PAIRS, 2 + step * PAIRS // (steps // 2)
            )  # few first: many are not learnt from nothing
            ids = _lessons(pairs, draw)
            labels = ids.clone()
            labels[:, : 2 * pairs + 1] = -100  # only answers can be known
            labels[:, 2 * pairs :: 2] = -100
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
    return model.eval()


def _lessons(number: int, draw: torch.Generator) -> Tensor:
    """Rows of pairs, and of all again in another order, ``[BATCH, 4 * number]``."""
    pairs = _pairs(BATCH, number, draw)
    order = torch.rand(BATCH, number, generator=draw).argsort(1)
    again = pairs.gather(1, order[..., None].expand(-1, -1, 2))
    return torch.cat([pairs, again], 1).flatten(1)


def _pairs(count: int, number: int, draw: torch.Generator) -> Tensor:
    """Different keys, each with a value, ``[count, number, 2]``."""
    keys = torch.rand(count, WORDS // 2, generator=draw).argsort(1)[:, :number]
    values = WORDS // 2 + torch.randint(WORDS // 2, (count, number), generator=draw)
    return torch.stack([keys, values], 2)
