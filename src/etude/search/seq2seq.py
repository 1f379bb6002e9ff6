"""Small encoder–decoders that learn here: a vocabulary from the texts at hand, a T5, and its training."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from etude.progress import track
from etude.search.embedder import padded
from etude.seeds import seeded

PAD, END = "<pad>", "</s>"


def vocabulary(texts: Iterable[str], size: int, special: Sequence[str] = ()) -> Any:
    """A tokenizer of byte pairs, learnt from texts: whatever comes later can be spelled in it.

    A word is spelled the same at the beginning of a text as within it.

    Parameters
    ----------
    texts : to learn from.
    size : tokens at most, but never fewer than the 256 bytes, two of its own and ``special``.
    special : tokens that are never split, nor made of other text; spaces before them are theirs.

    Returns
    -------
    PreTrainedTokenizerFast : it adds no tokens itself; id 0 fills up, id 1 ends a text.

    Examples
    --------
    >>> tokenizer = vocabulary(["red harbour", "red museum"], 300, ["[START_ENT]"])
    >>> tokenizer.convert_ids_to_tokens(tokenizer("red [START_ENT] harbour")["input_ids"])
    ['Ġred', '[START_ENT]', 'Ġharbour']
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, END, *(AddedToken(each, lstrip=True, special=True) for each in special)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )


def small(tokens: int, *, width: int, layers: int, seed: int, dropout: float = 0.1) -> Any:
    """A T5 of ``layers`` blocks on either side, heads of 32 and inner layers of four times the width.

    Dropout is in place while it learns; where hardly a text comes twice, 0 spares its time.

    Examples
    --------
    >>> small(300, width=64, layers=1, seed=0).num_parameters()
    134464
    """
    from transformers import T5ForConditionalGeneration

    with seeded(seed):
        model: Any = T5ForConditionalGeneration(_config(tokens, width, layers, dropout))
    return model.eval()


def encoder_of(tokens: int, *, width: int, layers: int, seed: int) -> Any:
    """The encoder of such a T5 alone.

    Examples
    --------
    >>> encoder_of(300, width=64, layers=1, seed=0).num_parameters()
    68608
    """
    from transformers import T5EncoderModel

    with seeded(seed):
        model: Any = T5EncoderModel(_config(tokens, width, layers))
    return model.eval()


def _config(tokens: int, width: int, layers: int, dropout: float = 0.1) -> Any:
    from transformers import T5Config

    settings: dict[str, Any] = {
        "vocab_size": tokens,
        "d_model": width,
        "d_kv": 32,
        "d_ff": 4 * width,
        "num_heads": width // 32,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "dropout_rate": dropout,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    return T5Config(**settings)


def spelled(tokenizer: Any, texts: Sequence[str], longest: int) -> list[list[int]]:
    """Token ids of each text, at most ``longest`` of them, the last of which is the end."""
    end = tokenizer.eos_token_id
    found = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return [[*row[: longest - 1], end] for row in found]


def batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Places of examples, all of them again and again, each time in another order."""
    draw = random.Random(seed)
    while True:
        order = draw.sample(range(count), count)
        yield from (order[at : at + size] for at in range(0, count, size))


def losses(
    model: Any,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    size: int,
    seed: int,
    smoothing: float,
) -> Iterator[Tensor]:
    """The loss of one batch after the other: cross-entropy of the target's tokens given those before."""
    for places in batches(len(sources), size, seed):
        ids, mask = padded([sources[place] for place in places], pad=0)
        labels = padded_labels([targets[place] for place in places])
        yield loss(model(input_ids=ids, attention_mask=mask, labels=labels).logits, labels, smoothing)


def padded_labels(rows: Sequence[Sequence[int]]) -> Tensor:
    """Ids ``[rows, longest]``, filled up with -100, which no loss counts."""
    ids, mask = padded(rows, pad=0)
    return ids.masked_fill(mask == 0, -100)


def loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the tokens that count."""
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)


def train(
    model: Any,
    steps: Iterable[Tensor],
    count: int,
    *,
    rate: float,
    warm_up: int,
    weight_decay: float = 0.01,
    clip: float = 1.0,
) -> list[float]:
    """Make steps of AdamW, the rate rising over ``warm_up`` of them and then falling to 0, both in a line.

    Parameters
    ----------
    model : in whatever mode it is to be trained in; it is left in evaluation mode.
    steps : the loss of each step, computed when it is asked for.
    count : how many to make.

    Returns
    -------
    list of float : the losses.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / max(1, warm_up), (count - step) / max(1, count - warm_up))
    )
    model.train()
    made = []
    with torch.enable_grad():
        for each in track(islice(steps, count), "training", total=count):
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(each)
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
            made.append(float(each.detach()))
    model.eval()
    return made
