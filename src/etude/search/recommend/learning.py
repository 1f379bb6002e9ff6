"""Learning to spell the next item: what is asked of users in training, and which epoch is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.recommend.generative import Generative, Prompt, WholeWords
from etude.search.recommend.ids import Pieces, new_tokens
from etude.search.recommend.prompts import DIRECT, SEQUENTIAL
from etude.search.seq2seq import batches, small, train, vocabulary
from etude.seeds import seeded

TEMPLATES = (*SEQUENTIAL, *DIRECT)
WATCHED = 5
"""Items that are recommended to a user whose own one is known, to see how far learning has come."""


def speller(ids: Sequence[Pieces], *, width: int, layers: int, seed: int) -> tuple[WholeWords, Any]:
    """A small model that knows the words of prompts and titles, numbers of two digits, and the ids' tokens.

    Longer numbers it spells in pieces, as large models do: items whose numbers are alike look alike.
    """
    texts = [template.replace("{user}", f"user_{n:02}") for n in range(100) for template in TEMPLATES]
    texts += [
        piece for pieces in ids for piece in pieces if not piece.startswith("<") and not piece.isdigit()
    ]
    special = new_tokens(ids)
    tokenizer = vocabulary(texts, 1500 + len(special), special)
    with seeded(seed):
        return WholeWords(small(len(tokenizer), width=width, layers=layers, seed=seed)).eval(), tokenizer


def tuned(name_or_path: str, ids: Sequence[Pieces], seed: int) -> tuple[WholeWords, Any]:
    """A trained encoder–decoder with tokens for the ids added; each begins near the mean of the others.

    Raises
    ------
    InputError : naming ``model`` if it is no encoder–decoder.
    """
    from etude import models

    model, tokenizer = models.load(name_or_path)
    if not model.config.is_encoder_decoder or tokenizer is None:
        raise InputError("model", f"{name_or_path} is no encoder–decoder with a tokenizer")
    known = len(tokenizer)
    tokenizer.add_tokens(new_tokens(ids), special_tokens=True)
    with seeded(seed), torch.no_grad():
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        rows = model.get_input_embeddings().weight
        noise = torch.randn(len(rows) - known, rows.shape[1]) * rows[:known].std(0)
        rows[known:] = rows[:known].mean(0) + 0.1 * noise  # near, but told apart
        return WholeWords(model).eval(), tokenizer


def fitted(
    learner: Generative,
    sequences: Sequence[Sequence[int]],
    held_out: Sequence[int],
    *,
    epochs: int,
    batch: int,
    rate: float,
    direct: bool,
    seed: int,
) -> None:
    """Train; the weights that are kept are of the epoch after which most held-out items were found.

    Parameters
    ----------
    learner : whose model is trained.
    sequences : each user's items but the held-out ones, and those to be foretold.
    held_out : the next item of each of the first users; none to keep the last epoch.
    epochs : in each of them every user gives one example, or two.
    batch : examples in a step.
    rate : of learning, at its highest; it rises over a twentieth of the steps.
    direct : whether users are also asked about without their items.
    seed : of the order of users, the places in their sequences, and the prompts.
    """
    best = Best(learner, sequences, held_out)
    count = epochs * (1 + direct) * -(-len(sequences) // batch)
    with seeded(seed):
        train(
            learner.model,
            _losses(learner, sequences, batch, direct, seed, best),
            count,
            rate=rate,
            warm_up=count // 20,
        )
    best.look()
    best.restore()


def _losses(
    learner: Generative, sequences: Sequence[Sequence[int]], batch: int, direct: bool, seed: int, best: Best
) -> Iterator[Tensor]:
    draw = random.Random(seed)
    examples = len(sequences) * (1 + direct)
    an_epoch = -(-examples // batch)
    for step, places in enumerate(batches(examples, batch, seed)):
        if step and step % an_epoch == 0:
            best.look()
        asked = [_example(learner, sequences, place, draw) for place in places]
        yield learner.model([prompt for prompt, _ in asked], [target for _, target in asked])


def _example(
    learner: Generative, sequences: Sequence[Sequence[int]], place: int, draw: random.Random
) -> tuple[Prompt, list[int]]:
    """What comes next behind a place drawn from a user's items; in the second half, any of them."""
    user = place % len(sequences)
    had = sequences[user]
    if place < len(sequences) and len(had) > 1:
        at = draw.randrange(1, len(had))
        return learner.prompt(draw.choice(SEQUENTIAL), user, had[:at]), learner.target(had[at])
    return learner.prompt(draw.choice(DIRECT), user, []), learner.target(draw.choice(had))


class Best:
    """The weights with which most held-out items were found so far."""

    def __init__(
        self, learner: Generative, sequences: Sequence[Sequence[int]], held_out: Sequence[int]
    ) -> None:
        self.learner = replace(learner, beams=WATCHED)
        self.histories, self.held_out = sequences[: len(held_out)], held_out
        self.found, self.state = -1, dict[str, Tensor]()

    def look(self) -> None:
        """Recommend to users whose next item is known, and keep the weights if more are found than before."""
        if not self.held_out:
            return
        model = self.learner.model
        before = model.training
        model.eval()
        made = self.learner.recommend(self.histories, range(len(self.histories)), WATCHED)
        model.train(before)
        found = sum(item in row for item, row in zip(self.held_out, made.tolist(), strict=True))
        if found > self.found:
            self.found, self.state = found, deepcopy(model.state_dict())

    def restore(self) -> None:
        """Put the best weights back."""
        if self.state:
            self.learner.model.load_state_dict(self.state)
