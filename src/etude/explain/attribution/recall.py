"""A small model that recalls: it has learnt to answer a key with the value that once stood behind it.

Where the answer comes from is then known exactly, which natural text seldom allows. The model is trained
when it is first asked for (about two minutes of one core) and kept in the user's cache.
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
WORDS, PAIRS = 64, 11
"""Half of the words are keys, half are values; a prompt holds this many pairs and a key."""
STEPS, BATCH, RATE = 1500, 64, 2e-3


def prompts(count: int, seed: int) -> list[Prompt]:
    """Pairs of a key and a value in random order, then one of the keys; the cue is its value.

    Examples
    --------
    >>> prompt = prompts(1, seed=0)[0]
    >>> key, value = prompt.ids[-1], prompt.ids[prompt.cue[-1]]
    >>> bool(prompt.ids[prompt.cue[-1] - 1] == key), prompt.target == int(value)
    (True, True)
    """
    draw = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        pairs = _pairs(draw)
        asked = int(torch.randint(PAIRS, (1,), generator=draw))
        ids = torch.cat([pairs.flatten(), pairs[asked, :1]])
        made.append(Prompt(ids, int(pairs[asked, 1]), (2 * asked + 1,)))
    return made


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
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        model = LlamaForCausalLM(config).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
        draw = torch.Generator().manual_seed(0)
        for _ in track(range(steps), "training a model that recalls"):
            ids = torch.stack([_lesson(draw) for _ in range(BATCH)])
            labels = ids.clone()
            labels[:, : 2 * PAIRS + 1] = -100  # only answers can be known
            labels[:, 2 * PAIRS :: 2] = -100
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
    return model.eval()


def _lesson(draw: torch.Generator) -> Tensor:
    """All pairs, and all again in another order."""
    pairs = _pairs(draw)
    return torch.cat([pairs.flatten(), pairs[torch.randperm(PAIRS, generator=draw)].flatten()])


def _pairs(draw: torch.Generator) -> Tensor:
    """Different keys, each with a value, ``[PAIRS, 2]``."""
    keys = torch.randperm(WORDS // 2, generator=draw)[:PAIRS]
    values = WORDS // 2 + torch.randint(WORDS // 2, (PAIRS,), generator=draw)
    return torch.stack([keys, values], 1)
