"""A tiny model that is sure of itself, and texts: of people at random, of machines as the model says them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from etude.explain.examples import VOCABULARY, grouped, tokenizer

TEXTS, LENGTH = 30, 16


@pytest.fixture(scope="session")
def sharp() -> Any:
    """A model whose predictions are far from uniform."""
    model = grouped()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data *= 10
    return model


@pytest.fixture(scope="session")
def texts(sharp: Any) -> tuple[list[str], list[int]]:
    """As many texts of people (0) as of machines (1)."""
    draw = torch.Generator().manual_seed(0)
    people = torch.randint(1, VOCABULARY, (TEXTS, LENGTH), generator=draw)
    machines = torch.randint(1, VOCABULARY, (TEXTS, 1), generator=draw)
    with torch.no_grad():
        while machines.shape[1] < LENGTH:
            chances = sharp(input_ids=machines).logits[:, -1].softmax(1)
            machines = torch.cat([machines, torch.multinomial(chances, 1, generator=draw)], 1)
    words = tokenizer()
    return [words.decode(row) for row in [*people, *machines]], [0] * TEXTS + [1] * TEXTS
