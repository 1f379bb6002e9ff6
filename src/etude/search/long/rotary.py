"""A small encoder with rotary positions that reads 64 tokens, to stretch.

It has learnt to find pass keys, for which it needs no positions, and who gave a key to whom, for which it
does. It is trained when it is first asked for (a minute of one core) and kept in the user's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy, normalize

from etude.files import cache_folder
from etude.progress import track
from etude.search.embedder import Embedder, padded, pool
from etude.search.long.haystacks import lessons
from etude.seeds import seeded

NAME, VERSION = "rotary", 2
WINDOW, WIDTH, LAYERS, HEADS = 64, 192, 3, 4
STEPS, BATCH, RATE, SHARPNESS = 240, 32, 1e-3, 0.05
BASE = 10_000.0


def untrained(seed: int = 0) -> Embedder:
    """The encoder before it has learnt anything, with nano-bert's vocabulary."""
    from transformers import NomicBertConfig, NomicBertModel

    from etude.models.loading import locate, tokenizer_of

    tokenizer = tokenizer_of(locate("nano-bert"))
    with seeded(seed):
        config = NomicBertConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=WINDOW,
            rope_parameters={"rope_type": "default", "rope_theta": BASE},
            pad_token_id=tokenizer.pad_token_id,
        )
        model: Any = NomicBertModel(config)
    return Embedder(model.eval(), tokenizer, window=WINDOW)


def trained(seed: int, steps: int = STEPS) -> Embedder:
    """The encoder that has learnt from a seed; from the cache if it is there."""
    from etude import models

    facts = f"{VERSION}-{WINDOW}-{WIDTH}-{LAYERS}-{steps}-{BATCH}-{seed}"
    folder = cache_folder("models", f"{NAME}-{facts}")
    if not folder.is_dir():
        embedder = train(seed, steps)
        models.save(embedder.model, embedder.tokenizer, folder)
    return Embedder.load(folder, WINDOW)


def train(seed: int, steps: int = STEPS) -> Embedder:
    """Learn which text answers a question, among those of a batch."""
    embedder = untrained(seed)
    model, pad = embedder.model.train(), embedder.tokenizer.pad_token_id
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    with torch.enable_grad():
        for step in track(range(steps), "training a rotary encoder"):
            questions, texts = lessons(embedder.tokenizer, WINDOW, BATCH, seed * steps + step)
            vectors = []
            for part in (questions, texts):
                ids, mask = padded(embedder.ids(part), pad)
                states = model(input_ids=ids, attention_mask=mask).last_hidden_state
                vectors.append(normalize(pool(states, mask, embedder.pooling), dim=1))
            loss = cross_entropy(vectors[0] @ vectors[1].T / SHARPNESS, torch.arange(BATCH))
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    return embedder
