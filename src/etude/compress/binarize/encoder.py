"""From a masked language model in full precision to the same in one bit: which layers change places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from etude.compress.binarize.attention import BinaryAttention, Estimators, Structure
from etude.compress.binarize.layers import Adapter, BinaryEmbedding, BinaryLinear, BinaryPooler
from etude.errors import InputError

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PROJECTIONS = ("query", "key", "value")


def check_encoder(model: Any) -> None:
    """Raise `InputError` unless a model is a masked language model shaped like BERT.

    Its encoder has self-attention with ``query``, ``key`` and ``value`` and a word embedding; one module
    beside the encoder, ``cls`` or ``lm_head``, predicts the tokens.
    """
    kind = type(model).__name__
    if structure_of(model) is not None:
        raise InputError("model", f"this {kind} is binary already")
    if _head(model) is None or not any(True for _ in _attentions(model)):
        raise InputError("model", f"{kind} is no masked language model shaped like BERT, such as nano-bert")


def binarise(model: Any, structure: Structure) -> None:
    """Make the encoder of a masked language model binary, in place; its tensors stay what they are.

    One bit go: the weights and inputs of all linear layers of the encoder and its pooler, the word
    embedding, and queries, keys, values and weights of attention. Position and type embeddings, norms,
    biases and the heads stay in full precision. The tokens' head goes on using the word embedding as it
    is, where the two are tied.

    Parameters
    ----------
    model : a masked language model; see `check_encoder`.
    structure : what it shall compute.

    Examples
    --------
    >>> from etude.models import load
    >>> model, _ = load("nano-bert")
    >>> binarise(model, Structure())
    >>> sum(isinstance(module, BinaryLinear) for module in model.modules())
    24
    """
    base = model.base_model
    for place, name, attention in list(_attentions(model)):
        setattr(place, name, BinaryAttention(attention, structure))
    pooler = getattr(base, "pooler", None)
    if pooler is not None:
        base.pooler = BinaryPooler(pooler, structure.elastic)
    for module in list(base.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and not isinstance(module, Estimators):
                setattr(module, name, BinaryLinear(child, structure.elastic))
    model.set_input_embeddings(BinaryEmbedding(model.get_input_embeddings()))
    model.set_attn_implementation("eager")  # so that masks come as numbers to add
    if structure.adapters:
        adapt(model, structure.adapters)


def adapt(model: nn.Module, rank: int) -> None:
    """Put `Adapter` beside queries, keys, values and the output of every attention of a binary model.

    Examples
    --------
    >>> from etude.models import load
    >>> model, _ = load("nano-bert")
    >>> binarise(model, Structure())
    >>> adapt(model, rank=2)
    >>> sum("adapter" in name for name, _ in model.named_parameters())
    32
    """
    for place in list(model.modules()):
        for attention in place.children():
            if isinstance(attention, BinaryAttention):
                attention.structure = replace(attention.structure, adapters=rank)
                for layer in [part for part in place.modules() if isinstance(part, BinaryLinear)]:
                    layer.adapter = Adapter(layer.in_features, layer.out_features, rank)


def structure_of(model: nn.Module) -> Structure | None:
    """What a binary model computes; None if it is not binary."""
    for module in model.modules():
        if isinstance(module, BinaryAttention):
            return module.structure
    return None


class Predictions(NamedTuple):
    """What a masked language model says of a batch.

    Attributes
    ----------
    tokens : logits of the chosen tokens, ``[chosen, vocabulary]``.
    pairs : logits of whether passages follow each other, ``[n, 2]``; None without such a head.
    hidden : the embeddings and each block's output, ``[n, length, width]`` each; empty if not asked for.
    """

    tokens: Tensor
    pairs: Tensor | None
    hidden: tuple[Tensor, ...]


def predict(model: Any, batch: dict[str, Tensor], chosen: Tensor, hidden: bool = False) -> Predictions:
    """Predict the chosen tokens ``[n, length]`` only: the vocabulary is most of what a head costs."""
    found = model.base_model(**forward_arguments(batch), output_hidden_states=hidden)
    states, pooled = found.last_hidden_state, getattr(found, "pooler_output", None)
    head = _head(model)
    assert head is not None  # `check_encoder` has seen to it
    every = found.hidden_states if hidden else ()
    if not has_pairs(model):
        return Predictions(head(states[chosen]), None, every)
    tokens, pairs = head(states[chosen], pooled)
    return Predictions(tokens, pairs, every)


def forward_arguments(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The arguments of a forward pass among what a batch holds."""
    return {name: batch[name] for name in _INPUTS if name in batch}


def has_pairs(model: Any) -> bool:
    """Whether a model has a head that says whether passages follow each other."""
    return hasattr(_head(model), "seq_relationship")


def _head(model: Any) -> nn.Module | None:
    for name in ("cls", "lm_head"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Module):
            return head
    return None


def _attentions(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every self-attention, with the module that holds it and its name there."""
    for place in model.modules():
        for name, child in place.named_children():
            projections = [getattr(child, each, None) for each in _PROJECTIONS]
            if all(isinstance(each, nn.Linear) for each in projections) and hasattr(
                child, "num_attention_heads"
            ):
                yield place, name, child
