"""A model that computes as another does, with a few features as large as they are in large models.

Small models have no outlier features, which are what makes activations hard to round. Here they are planted:
in front of every layer that reads a norm a few features are magnified in the norm and shrunk in the layer's
weights. What the model computes stays the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.models.blocks import Linear, find_blocks
from etude.models.fingerprint import fingerprint

SHARE, FACTOR, SEED = 0.02, 20.0, 0
READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}
"""The norms of LLaMA's blocks, and the layers that read them."""


@torch.no_grad()
def plant(model: Any, *, share: float = SHARE, factor: float = FACTOR, seed: int = SEED) -> None:
    """Magnify some features behind the norms of a model of LLaMA's architecture, in place.

    Parameters
    ----------
    model : computes the same after, but for the order of its sums.
    share : of the features, the same ones in all blocks.
    factor : by which they are magnified.
    seed : of the draw of the features.

    Examples
    --------
    >>> from etude.models import load
    >>> model, _ = load("nano-llama")
    >>> before = model.model.layers[0].input_layernorm.weight.clone()
    >>> plant(model)
    >>> (model.model.layers[0].input_layernorm.weight / before > 19).sum()
    tensor(5)
    """
    for block in find_blocks(model)[1]:
        for norm, readers in READERS.items():
            weight: Any = block.get_submodule(norm).weight
            draw = torch.randperm(len(weight), generator=torch.Generator().manual_seed(seed))
            chosen = draw[: round(share * len(weight))]
            weight[chosen] *= factor
            for name in readers:
                Linear(name, block.get_submodule(name)).weight[:, chosen] /= factor


def planted(source: Path) -> Path:
    """The checkpoint in ``source`` with outliers: found in the cache, or made there."""
    from etude.models.loading import read_folder
    from etude.models.saving import save

    folder = cache_folder("outliers", f"{fingerprint(source)[:24]}-{SHARE}-{FACTOR}-{SEED}")
    if not folder.is_dir():
        model, tokenizer = read_folder(source)
        plant(model)
        try:
            with new_folder(folder) as temporary:
                save(model, tokenizer, temporary)
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return folder
