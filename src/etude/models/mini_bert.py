"""A small encoder that learns to compare texts within minutes: known words, blocks that attend to their like.

Its word vectors are those of a large encoder along their principal directions. Its blocks are random, but in
a way that training ends in anyhow: queries and keys are the same rotation, so that a token attends to tokens
like itself, and values and outputs are rotations, so that what is found is handed on (Trockman and Kolter,
"Mimetic Initialization of Self-Attention Layers", ICML 2023, arXiv:2305.09828, drew queries and keys alike).
Segments are far apart from the start, so that a token can tell a like one in the other text from itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.models.fingerprint import fingerprint

WIDTH, LAYERS, HEADS, SEED = 128, 4, 4, 0
SAME, WORD, SEGMENT = 8.0, 0.5, 0.5
"""Logit of attention between equal tokens; standard deviations of the vectors of words and segments."""


def drawn(
    source: Any, *, width: int = WIDTH, layers: int = LAYERS, heads: int = HEADS, seed: int = SEED
) -> Any:
    """A BERT whose word vectors are the principal components of another's, and whose blocks are random.

    Parameters
    ----------
    source : an encoder with at least ``width`` features a word.
    width, layers, heads : of the new one; its inner layers are four times as wide.
    seed : of the blocks.

    Returns
    -------
    BertModel : in evaluation mode, without dropout.

    Examples
    --------
    >>> from transformers import BertConfig, BertModel
    >>> sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    >>> small = drawn(BertModel(BertConfig(vocab_size=32, **sizes)), width=4, layers=2, heads=1)
    >>> small.get_input_embeddings().weight.shape
    torch.Size([32, 4])
    """
    from transformers import BertConfig, BertModel

    words = source.get_input_embeddings().weight.detach()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=source.config.pad_token_id,
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model: Any = BertModel(config)
        model.embeddings.word_embeddings.weight.copy_(_components(words, width))
        model.embeddings.token_type_embeddings.weight.normal_(0, SEGMENT)
        for block in model.encoder.layer:
            _draw(block, width // heads)
        _rotate(model.pooler.dense)
    return model.eval()


def _components(words: Tensor, width: int) -> Tensor:
    """Words along the directions in which they differ most, ``[words, width]``."""
    centred = words - words.mean(0)
    directions = torch.linalg.svd(centred.T @ centred)[0][:, :width]
    projected: Tensor = centred @ (directions * directions.sum(0).sign())  # a direction's sign is arbitrary
    return projected / projected.std() * WORD


def _draw(block: Any, head: int) -> None:
    """Heads that attend to like tokens and hand on what they find; inner layers that keep variances."""
    attention = block.attention
    _rotate(attention.self.query, (SAME / head**0.5) ** 0.5)
    attention.self.key.weight.copy_(attention.self.query.weight)
    _rotate(attention.self.value)
    _rotate(attention.output.dense, 0.7)
    for inner in (block.intermediate.dense, block.output.dense):
        inner.weight.normal_(0, attention.self.query.in_features**-0.5)


def _rotate(linear: nn.Linear, scale: float = 1.0) -> None:
    linear.weight.copy_(torch.linalg.qr(torch.randn(linear.weight.shape))[0] * scale)


def built(source: Path) -> Path:
    """The small encoder of the checkpoint in ``source``: found in the cache, or made there."""
    from etude.models.loading import read_folder
    from etude.models.saving import save

    address = f"{fingerprint(source)[:24]}-{WIDTH}-{LAYERS}-{HEADS}-{SEED}"
    folder = cache_folder("mini-bert", address)
    if not folder.is_dir():
        model, tokenizer = read_folder(source)
        try:
            with new_folder(folder) as temporary:
                save(drawn(model), tokenizer, temporary)
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return folder
