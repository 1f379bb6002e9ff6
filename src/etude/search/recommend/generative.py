"""Recommendation by generating ids: a small T5 that reads prompts and spells the next item within a trie."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from etude.search.constrained.beam import beam_search
from etude.search.constrained.decoders import EncoderDecoder
from etude.search.constrained.rules import Names, Without
from etude.search.constrained.trie import Trie
from etude.search.embedder import padded
from etude.search.recommend.ids import Pieces
from etude.search.recommend.prompts import SEQUENTIAL, words
from etude.search.recommend.recommender import unseen
from etude.search.seq2seq import loss, padded_labels

WORDS = 512
"""Words of a prompt that are told apart."""
BATCH = 32
"""Users who are recommended to at once."""

Prompt = tuple[list[int], list[int]]
"""Token ids, and the number of the word that each is of."""


class WholeWords(nn.Module):
    """An encoder–decoder that knows which tokens are of one word: all of them get the vector of the word's
    place besides their own, so that an id of several tokens is read as one item.

    Parameters
    ----------
    model : the encoder–decoder, of transformers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.places = nn.Embedding(WORDS, model.config.d_model)

    def encode(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """States of prompts, ``[prompts, tokens, width]``, and their mask."""
        ids, mask = padded([ids for ids, _ in prompts], pad=0)
        places, _ = padded([places for _, places in prompts], pad=0)
        embedded = self.model.get_input_embeddings()(ids) + self.places(places)
        return self.model.get_encoder()(inputs_embeds=embedded, attention_mask=mask).last_hidden_state, mask

    def forward(self, prompts: Sequence[Prompt], targets: Sequence[Sequence[int]]) -> Tensor:
        """Cross-entropy of the targets."""
        states, mask = self.encode(prompts)
        labels = padded_labels(targets)
        return loss(self.model(encoder_outputs=(states,), attention_mask=mask, labels=labels).logits, labels)


@dataclass(frozen=True)
class Generative:
    """See `etude.search.recommend.recommender.Recommender`.

    Parameters
    ----------
    model : the encoder–decoder with its whole words.
    tokenizer : with a token for every piece in angle brackets.
    ids : the pieces of every item.
    history : items of a user that are read, the last ones.
    beams : ids that are generated for a user; no more items are recommended.
    """

    model: WholeWords
    tokenizer: Any
    ids: Sequence[Pieces]
    history: int
    beams: int

    def recommend(
        self, histories: Sequence[Sequence[int]], users: Sequence[int], k: int
    ) -> NDArray[np.int64]:
        """The best ``k`` items for each user, ``[users, k]``; -1 where fewer were generated."""
        found = []
        for at in range(0, len(histories), BATCH):
            batch = zip(users[at : at + BATCH], histories[at : at + BATCH], strict=True)
            asked = [self.prompt(SEQUENTIAL[0], user, had) for user, had in batch]
            found += self.generated(asked, [*map(set, histories[at : at + BATCH])])
        return unseen(found, histories, k)

    @torch.no_grad()
    def generated(
        self, prompts: Sequence[Prompt], left_out: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """The items whose ids are generated for prompts, best first, without those left out of each."""
        names = Names(self.trie, self.end)
        states, mask = self.model.encode(prompts)
        named = beam_search(
            EncoderDecoder(self.model.model, states, mask),
            names if left_out is None else Without(names, [sorted(some) for some in left_out]),
            len(prompts),
            beams=self.beams,
            max_length=self.trie.depth,
        )
        return [[self.items[one.tokens] for one in hypotheses] for hypotheses in named]

    @cached_property
    def items(self) -> dict[tuple[int, ...], int]:
        """The item of each id."""
        return {tuple(self.target(item)): item for item in range(len(self.ids))}

    def prompt(self, template: str, user: int, had: Sequence[int]) -> Prompt:
        """A prompt's token ids, the end included, and the number of the word that each is of."""
        pieces = [self.spell(word) for word in words(template, user, had[-self.history :])] + [[self.end]]
        places = [min(place, WORDS - 1) for place, piece in enumerate(pieces, 1) for _ in piece]
        return [token for piece in pieces for token in piece], places

    def spell(self, word: str | int) -> list[int]:
        """Token ids of a word, or of an item's id."""
        if word not in self._spelled:
            text = "".join(self.ids[word]) if isinstance(word, int) else word
            self._spelled[word] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._spelled[word]

    def target(self, item: int) -> list[int]:
        """What is generated for an item: its id and the end."""
        return [*self.spell(item), self.end]

    @property
    def end(self) -> int:
        """The token that ends an id."""
        found: int = self.tokenizer.eos_token_id
        return found

    @cached_property
    def trie(self) -> Trie:
        """All ids."""
        return Trie.of([self.target(item) for item in range(len(self.ids))])

    @cached_property
    def _spelled(self) -> dict[str | int, list[int]]:
        return {}

    def save(self, folder: Path) -> None:
        """Write the model as transformers does, with the ids and the vectors of words' places beside it."""
        from safetensors.torch import save_file

        from etude import models

        models.save(self.model.model, self.tokenizer, folder / "model")
        save_file({"places": self.model.places.weight.detach().contiguous()}, folder / "places.safetensors")
        facts = {"ids": self.ids, "history": self.history, "beams": self.beams}
        (folder / "ids.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Generative:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        from etude import models

        facts = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
        inner, tokenizer = models.load(folder / "model")
        model = WholeWords(inner)
        model.places.weight.data = load_file(folder / "places.safetensors")["places"]
        ids = [tuple(pieces) for pieces in facts["ids"]]
        return cls(model.eval(), tokenizer, ids, facts["history"], facts["beams"])
