"""Calibration inputs, checked against the model that they are for, before any work is done on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.likelihood import context_length

TOKENS, MASK = "input_ids", "attention_mask"


def check_calibration(
    model: Any, calibration: Any, field: str = "calibration", *, predicts: bool = False
) -> None:
    """Raise `InputError` unless ``calibration`` holds forward arguments that ``model`` can take.

    Every walk and every gradient begins with this, so that a method need not.

    Parameters
    ----------
    model : a transformer; what its configuration tells (main input, vocabulary, context, image size)
        is checked.
    calibration : mapping of the forward pass's argument names to tensors, each ``[segments, ...]``:
        token ids ``[segments, length]`` with, if wanted, an ``attention_mask`` of that shape, or
        ``pixel_values`` ``[images, channels, height, width]``.
    field : what the user calls it, for the error.
    predicts : whether next tokens will be predicted, so that two tokens a segment are needed.

    Raises
    ------
    InputError : if it is no such mapping, holds no segments, tensors disagree in their number, the
        model's main input is missing, or token ids, mask or images do not fit the model.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
    ...                      num_attention_heads=2)
    >>> check_calibration(LlamaForCausalLM(config), {"input_ids": torch.full((4, 16), 8)})
    Traceback (most recent call last):
    etude.errors.InputError: calibration: input_ids holds 8; the model's vocabulary is 0..7
    """
    _check_segments(calibration, field)
    main = getattr(model, "main_input_name", None)
    stands_in = "inputs_embeds" in calibration and not predicts
    if main is not None and main not in calibration and not stands_in:
        raise InputError(
            field, f"has no {main}, which {type(model).__name__} takes; it has {_names(calibration)}"
        )
    if TOKENS in calibration:
        _check_tokens(model, calibration[TOKENS], field, at_least=2 if predicts else 1)
    if MASK in calibration:
        _check_mask(calibration, field, at_least=2 if predicts else 1)
    if "pixel_values" in calibration:
        _check_images(model, calibration["pixel_values"], field)
    for name, value in calibration.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(field, f"{name} holds numbers that are not finite")


def _check_segments(calibration: Any, field: str) -> None:
    if not isinstance(calibration, Mapping):
        kind = type(calibration).__name__
        raise InputError(field, f"is a {kind}; give forward arguments by name, such as {{'input_ids': ids}}")
    for name, value in calibration.items():
        if not isinstance(value, Tensor):
            raise InputError(field, f"{name} is a {type(value).__name__}, not a tensor [segments, ...]")
        if value.ndim < 2:
            raise InputError(field, f"{name} has shape {tuple(value.shape)}, not [segments, ...]")
    counts = {name: len(value) for name, value in calibration.items()}
    if not any(counts.values()):
        raise InputError(field, "holds no segments; give one or more")
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(field, f"its tensors differ in their number of segments: {shown}")


def _check_tokens(model: Any, ids: Tensor, field: str, at_least: int) -> None:
    if ids.ndim != 2 or ids.shape[1] < at_least:
        wanted = "[segments, length]" if at_least == 1 else f"[segments, {at_least} or more tokens]"
        raise InputError(field, f"{TOKENS} has shape {tuple(ids.shape)}, not {wanted}")
    if ids.dtype not in (torch.int64, torch.int32):
        raise InputError(field, f"{TOKENS} is {str(ids.dtype).removeprefix('torch.')}, not int64")
    limit = context_length(model) if hasattr(model, "config") else None
    if limit is not None and ids.shape[1] > limit:
        raise InputError(
            field, f"segments of {ids.shape[1]} tokens are longer than the model's {limit} positions"
        )
    embedding = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    vocabulary = None if embedding is None else embedding.weight.shape[0]
    low, high = int(ids.min()), int(ids.max())
    if vocabulary is not None and not 0 <= low <= high < vocabulary:
        raise InputError(
            field, f"{TOKENS} holds {low if low < 0 else high}; the model's vocabulary is 0..{vocabulary - 1}"
        )


def _check_mask(calibration: Mapping[str, Tensor], field: str, at_least: int) -> None:
    mask = calibration[MASK]
    if TOKENS in calibration and mask.shape != calibration[TOKENS].shape:
        shapes = f"{tuple(mask.shape)}, not that of {TOKENS}, {tuple(calibration[TOKENS].shape)}"
        raise InputError(field, f"{MASK} has shape {shapes}")
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise InputError(field, f"{MASK} holds more than 0 (padding) and 1 (token)")
    real = mask.sum(1)
    if int(real.min()) < at_least:
        raise InputError(
            field, f"segment {int(real.argmin())} has {int(real.min())} tokens that are not padding; drop it"
        )


def _check_images(model: Any, images: Tensor, field: str) -> None:
    config = getattr(model, "config", None)
    channels, side = getattr(config, "num_channels", None), getattr(config, "image_size", None)
    size = [side, side] if isinstance(side, int) else side
    shape = list(images.shape)
    fits = len(shape) == 4 and channels in (None, shape[1]) and (size is None or shape[2:] == list(size))
    if not fits or not images.is_floating_point():
        wanted = (
            f"float [images, {channels or 'channels'}, {', '.join(map(str, size or ['height', 'width']))}]"
        )
        raise InputError(
            field, f"pixel_values is {str(images.dtype).removeprefix('torch.')} {shape}, not {wanted}"
        )


def _names(calibration: Mapping[str, Tensor]) -> str:
    return " and ".join(calibration) or "nothing"
