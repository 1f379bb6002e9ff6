"""RankGen's encoder: one network for two roles, told apart by a word in front; scores are dot products."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.likelihood import context_length, evaluating
from etude.search.embedder import batches, encoder_of, frame, padded

Role = Literal["prefix", "suffix"]
WORDS: dict[Role, str] = {"prefix": "pre ", "suffix": "suffi "}
"""What stands in front of a text of each role."""
LIMITS: dict[Role, int] = {"prefix": 512, "suffix": 128}
"""Tokens that are read of each, at most; the encoder's positions may allow fewer."""
PROJECTION = "projection.safetensors"


class DualEncoder(nn.Module):
    """The first token's hidden state through a linear layer without bias; neither normed nor activated.

    Of a long prefix the end is read, which is what a continuation goes on from; of a suffix the beginning.

    Parameters
    ----------
    model : any encoder of transformers, perhaps with a head that is not used.
    tokenizer : its tokenizer.

    Raises
    ------
    InputError : if the model has no tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        if tokenizer is None:
            raise InputError("encoder", "has no tokenizer; save one beside the weights")
        self.model, self.tokenizer = model, tokenizer
        width = model.config.hidden_size
        self.projection = nn.Linear(width, width, bias=False)
        self.projection.weight.data = torch.eye(width) * width**-0.25  # scores begin at attention's scale

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors ``[rows, width]`` of token ids ``[rows, length]``."""
        states = encoder_of(self.model)(input_ids=ids, attention_mask=mask).last_hidden_state
        projected: Tensor = self.projection(states[:, 0])
        return projected

    def rows(self, texts: Sequence[str], role: Role) -> list[list[int]]:
        """Token ids of texts in a role, each with the role's word in front and special tokens."""
        limit = min(LIMITS[role], context_length(self.model) or LIMITS[role])
        word = self.tokenizer(WORDS[role], add_special_tokens=False)["input_ids"]
        begin, end = frame(self.tokenizer)
        room = limit - len(begin) - len(word) - len(end)
        found = []
        for ids in self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]:
            kept = ids[-room:] if role == "prefix" else ids[:room]
            found.append([*begin, *word, *kept, *end])
        return found

    def embed(self, texts: Sequence[str], role: Role) -> Tensor:
        """Vectors of texts in a role with gradients, ``[texts, width]``."""
        vectors: Tensor = self(*padded(self.rows(texts, role), self.tokenizer.pad_token_id or 0))
        return vectors

    @torch.no_grad()
    def encode(self, texts: Sequence[str], role: Role) -> Tensor:
        """Vectors of texts in a role, ``[texts, width]``; which others are encoded with them changes none.

        Examples
        --------
        >>> from etude.models import load
        >>> encoder = DualEncoder(*load("nano-bert"))
        >>> encoder.encode(["It was late.", "He slept."], "suffix").shape
        torch.Size([2, 192])
        """
        rows = self.rows(texts, role)
        vectors = torch.empty(len(rows), self.projection.out_features)
        with evaluating(self):
            for places, ids, mask in batches(rows, self.tokenizer.pad_token_id or 0):
                vectors[places] = self(ids, mask)
        return vectors

    def save(self, folder: Path) -> None:
        """Write a checkpoint of transformers with the projection beside it, whole or not at all."""
        from safetensors.torch import save_file

        from etude import models
        from etude.files import new_folder

        with new_folder(folder) as temporary:
            models.save(self.model, self.tokenizer, temporary / "model")
            save_file({"weight": self.projection.weight.detach()}, temporary / "model" / PROJECTION)
            for file in (temporary / "model").iterdir():
                file.rename(temporary / file.name)
            (temporary / "model").rmdir()

    @classmethod
    def load(cls, folder: Path) -> DualEncoder:
        """Read what `save` wrote.

        Raises
        ------
        InputError : if the folder holds none.
        """
        from safetensors.torch import load_file

        from etude import models

        if not (folder / PROJECTION).is_file():
            raise InputError("folder", f"{folder} holds no {PROJECTION}: it is no encoder of two roles")
        encoder = cls(*models.load(folder))
        encoder.projection.load_state_dict(load_file(folder / PROJECTION))
        return encoder.eval()


def digest(module: nn.Module) -> str:
    """SHA-256 over a network's tensors: what it is, wherever it came from."""
    total = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        total.update(name.encode())
        total.update(tensor.detach().contiguous().numpy().tobytes())
    return total.hexdigest()
