"""What a model is worth and what it costs: perplexity, size, operations, speed."""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import block_linears
from etude.models.likelihood import check_causal, check_length, evaluating
from etude.models.likelihood import context_length as context_length
from etude.models.likelihood import perplexity as perplexity
from etude.models.likelihood import segment_losses as segment_losses
from etude.models.packed.linear import PackedLinear

Clock = Callable[[], float]


def parameter_count(model: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def size_in_bytes(model: nn.Module) -> int:
    """Bytes of all parameters in their own precision, tied ones once; packed layers as they are held."""
    dense = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return dense + sum(module.bytes() for module in model.modules() if isinstance(module, PackedLinear))


def bytes_on_disk(folder: str | Path) -> int:
    """Size of all files in a folder, in bytes."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def nonzero_fraction(model: nn.Module) -> float:
    """Share of all parameters that are not exactly zero; tied ones count once."""
    nonzero = sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters())
    return nonzero / parameter_count(model)


def sparsity(model: nn.Module) -> float:
    """Share of exact zeros among the weights of the linear layers inside the transformer blocks.

    Embeddings, norms, biases and the head do not count: it is the figure that pruning papers give.

    Raises
    ------
    InputError : if the model has no blocks with linear layers.

    Examples
    --------
    >>> from etude.models import load
    >>> model, _ = load("nano-llama")
    >>> round(sparsity(model), 2)
    0.0
    """
    weights = [linear.weight for linear in block_linears(model)]
    zeros = sum(weight.numel() - int(torch.count_nonzero(weight)) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def flops_per_token(model: Any, length: int) -> float:
    """Floating-point operations of one forward pass over ``length`` tokens, per token.

    Every matrix product counts, ``2 m n k`` each. For a decoder with ``W`` weights in linear layers
    (the head's too, tied or not) and ``L`` layers of attention of width ``d`` that is
    ``2 W + 4 L d length``: scores of masked positions are computed, so they count. Zeros count like
    other weights; only narrower layers need fewer operations. Norms, activations and biases do not
    count. The products are those of the model's own forward pass, run on tensors without storage.

    Parameters
    ----------
    model : any transformer, with whatever widths its layers have.
    length : tokens of the pass; an image counts as many as it has patches.

    Raises
    ------
    InputError : if ``length`` is not positive, or more than the model can take.
    """
    from torch.func import functional_call
    from torch.utils.flop_counter import FlopCounterMode

    inputs, tokens = example(model, 1, length, torch.device("meta"))
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in named}
    with torch.no_grad(), evaluating(model), FlopCounterMode(display=False) as counter:
        functional_call(model, empty, (), inputs, tie_weights=False)
    return float(counter.get_total_flops()) / tokens


def tokens_per_second(
    model: Any, *, length: int = 128, batch: int = 1, runs: int = 5, clock: Clock = time.perf_counter
) -> float:
    """Speed of the forward pass (the prefill of a prompt): median of several runs after an untimed one.

    Figures of two models compare only if they were taken on the same machine in the same state.

    Parameters
    ----------
    model : any transformer.
    length : tokens of each sequence; an image counts as many as it has patches.
    batch : sequences.
    runs : timed repetitions.
    clock : gives seconds; ``time.process_time`` for CPU seconds on a shared machine.

    Returns
    -------
    float : tokens per second.

    Raises
    ------
    InputError : if ``length`` or ``batch`` is not positive, or the model cannot take ``length`` tokens.
    """
    inputs, tokens = example(model, batch, length, torch.device("cpu"))

    def forward() -> float:
        started = clock()
        model(**inputs)
        return clock() - started

    with torch.inference_mode(), evaluating(model):
        forward()
        return tokens / statistics.median(forward() for _ in range(runs))


def decoded_tokens_per_second(
    model: Any, *, length: int = 128, new: int = 16, runs: int = 5, clock: Clock = time.perf_counter
) -> float:
    """Speed of generating one token after the other, with a cache, behind a prompt of ``length`` tokens.

    Parameters as for `tokens_per_second`; ``new`` tokens are generated in each run.

    Raises
    ------
    InputError : if the model predicts no next token, or cannot take ``length + new`` tokens.
    """
    from transformers import DynamicCache

    check_causal(model)
    inputs, _ = example(model, 1, length + new, torch.device("cpu"))
    prompt, rest = inputs["input_ids"][:, :length], inputs["input_ids"][:, length:]
    renamed = "cache" in inspect.signature(model.forward).parameters  # by transformers, in 2026
    argument = "cache" if renamed else "past_key_values"

    def generate() -> float:
        cache = {argument: DynamicCache(config=model.config)}
        model(input_ids=prompt, use_cache=True, **cache)
        started = clock()
        for at in range(new):
            model(input_ids=rest[:, at : at + 1], use_cache=True, **cache)
        return clock() - started

    with torch.inference_mode(), evaluating(model):
        generate()
        return new / statistics.median(generate() for _ in range(runs))


def example(model: Any, batch: int, length: int, device: torch.device) -> tuple[dict[str, Tensor], int]:
    """Inputs of a forward pass, and how many tokens (for images: patches) they are in all.

    Raises
    ------
    InputError : if ``length`` or ``batch`` is not positive, or the model cannot take ``length`` tokens.
    """
    if batch < 1:
        raise InputError("batch", f"{batch} is not positive")
    config = model.config
    if model.main_input_name == "pixel_values":
        side, patch = config.image_size, config.patch_size
        images = torch.zeros(batch, config.num_channels, side, side, device=device)
        return {"pixel_values": images}, batch * (side // patch) ** 2
    check_length(model, length)
    ids = torch.arange(batch * length, device=device).view(batch, length) % config.vocab_size
    inputs = {"input_ids": ids}
    if getattr(config, "is_encoder_decoder", False) and model.can_generate():
        inputs["decoder_input_ids"] = ids
    return inputs, batch * length
