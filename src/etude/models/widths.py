"""Models whose layers are narrower than their configuration says, or have biases that it does not know.

Structured pruning resizes linear layers in place. A checkpoint of the result is written in the
plainest form that gives the same model back: with the stock configuration, with the configuration
adjusted (`expressed`), or, where widths differ from layer to layer, with the widths beside it in
``etude.json`` (`Widths`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

from etude.errors import InputError
from etude.models import checkpoint
from etude.models.blocks import is_transposed, linears

VERSION = 1
_FEED_FORWARD = ("intermediate_size", "ffn_dim", "d_ff", "n_inner")
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_SIZES = {"in_features", "out_features", "nx", "nf", *_FEED_FORWARD}
"""Numbers that modules keep and that their layers' shapes tell better."""


@dataclass(frozen=True)
class Layer:
    """The shape of one linear layer."""

    in_features: int
    out_features: int
    bias: bool

    @classmethod
    def of(cls, module: Any) -> Layer:
        """The shape that a layer has."""
        outputs, inputs = (module.weight.T if is_transposed(module) else module.weight).shape
        return cls(inputs, outputs, module.bias is not None)

    def apply(self, module: Any) -> None:
        """Give a layer this shape; its numbers are left undefined."""
        shape = (self.out_features, self.in_features)
        if is_transposed(module):
            module.nx, module.nf = self.in_features, self.out_features
            shape = (self.in_features, self.out_features)
        else:
            module.in_features, module.out_features = self.in_features, self.out_features
        before = module.weight
        module.weight = nn.Parameter(before.new_empty(shape))
        module.bias = nn.Parameter(before.new_empty(self.out_features)) if self.bias else None


@dataclass(frozen=True)
class Widths:
    """Where a model differs from what its configuration describes.

    Attributes
    ----------
    layers : linear layers of another shape, by dotted name.
    attributes : whole numbers that modules keep (head counts, say) and that have another value, by
        dotted name of the module and name of the attribute.
    """

    layers: Mapping[str, Layer] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.layers or self.attributes)

    @classmethod
    def between(cls, model: nn.Module, stock: nn.Module) -> Widths:
        """What to change in ``stock`` to give it the shape of ``model``."""
        ours, theirs = _shapes(model), _shapes(stock)
        layers = {name: layer for name, layer in ours.items() if name in theirs and theirs[name] != layer}
        modules = dict(stock.named_modules())
        attributes: dict[str, dict[str, int]] = {}
        for name, module in model.named_modules():
            kept = _numbers(module)
            known = _numbers(modules[name]) if name in modules else kept
            changed = {key: kept[key] for key in kept.keys() & known.keys() if kept[key] != known[key]}
            if changed:
                attributes[name] = dict(sorted(changed.items()))
        return cls(layers, attributes)

    def apply(self, model: nn.Module) -> None:
        """Give the layers of ``model`` these shapes; their numbers are left undefined.

        Raises
        ------
        InputError : if ``model`` has no such layer or attribute.
        """
        every = linears(model)
        for name, layer in self.layers.items():
            if name not in every:
                raise InputError("model", f"{checkpoint.WIDTHS}: there is no linear layer {name!r}")
            layer.apply(every[name])
        modules = dict(model.named_modules())
        for name, values in self.attributes.items():
            for key, value in values.items():
                if name not in modules or key not in _numbers(modules[name]):
                    raise InputError("model", f"{checkpoint.WIDTHS}: {name!r} has no number {key!r}")
                setattr(modules[name], key, value)

    def resized(self, model_class: Any) -> Any:
        """A subclass whose instances have these widths from the start, for ``from_pretrained`` to fill."""
        widths = self

        class Resized(model_class):  # type: ignore[misc]
            def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
                super().__init__(config, *args, **kwargs)
                widths.apply(self)

        Resized.__name__ = model_class.__name__
        return Resized

    def write(self, folder: Path) -> None:
        """Write ``etude.json``."""
        content = {
            "etude": "widths",
            "version": VERSION,
            "layers": {name: vars(layer) for name, layer in self.layers.items()},
            "attributes": {name: dict(values) for name, values in self.attributes.items()},
        }
        (folder / checkpoint.WIDTHS).write_text(json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> Widths | None:
    """The widths in a folder's ``etude.json``, None if it has none.

    Raises
    ------
    InputError : if the file is malformed or of a newer version.
    """
    path = folder / checkpoint.WIDTHS
    if not path.is_file():
        return None
    content = checkpoint.read_json(path)
    if content.get("version") != VERSION:
        raise InputError(
            "model", f"{path}: version {content.get('version')!r} is not {VERSION}, which is read"
        )
    try:
        layers = {name: _layer(**shape) for name, shape in content["layers"].items()}
        attributes = {
            name: {key: _size(value) for key, value in values.items()}
            for name, values in content["attributes"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError("model", f"{path} does not hold widths as Etude writes them: {error}") from error
    return Widths(layers, attributes)


def stock(model_class: Any, config: Any) -> Any:
    """The model that a configuration describes, without any numbers in it."""
    with torch.device("meta"):
        return model_class(copy.deepcopy(config))


def expressed(model: Any, config: Any) -> tuple[Any, dict[str, Tensor]] | None:
    """A configuration under which the stock architecture has the widths of ``model``, if there is one.

    Parameters
    ----------
    model : with layers that may have been resized.
    config : to start from; it is not changed.

    Returns
    -------
    (config, zeros) or None : ``zeros`` are biases that the configuration brings with it and that
        ``model`` does not have, such as those of q, k and v where only o has got one.
    """
    config = _adjusted(model, config)
    plain = stock(type(model), config)
    left = Widths.between(model, plain)
    ours, theirs = _shapes(model), _shapes(plain)
    if left.attributes or any(theirs[name] != _with_bias(ours[name]) for name in left.layers):
        return None
    if _buffers(model) != _buffers(plain):
        return None
    return config, {f"{name}.bias": torch.zeros(ours[name].out_features) for name in left.layers}


def _adjusted(model: Any, config: Any) -> Any:
    """The configuration with the feed-forward width, the head counts and the biases read off the layers."""
    config = copy.deepcopy(config)
    ours, theirs = _shapes(model), _shapes(stock(type(model), config))
    changed = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    attention, others = _split(changed)
    for key in _FEED_FORWARD:
        widths = {ours[n].out_features for n in others if ours[n].out_features != theirs[n].out_features}
        if hasattr(config, key) and len(widths) == 1 and 0 not in widths:
            setattr(config, key, widths.pop())
    heads = {}
    for key, projection in (("num_attention_heads", "q_proj"), ("num_key_value_heads", "k_proj")):
        widths = {ours[name].out_features for name in attention if name.endswith(projection)}
        if hasattr(config, key) and len(widths) == 1 and 0 not in widths:
            heads[key] = widths.pop()
    config = _with_heads(type(model), config, heads)
    for key, names in (("attention_bias", attention), ("mlp_bias", others)):
        if hasattr(config, key) and any(ours[name].bias and not theirs[name].bias for name in names):
            setattr(config, key, True)
    return config


def _with_heads(model_class: Any, config: Any, widths: Mapping[str, int]) -> Any:
    """The configuration with as many heads as fill these widths, or as it is if it does not accept them."""
    size = getattr(config, "head_dim", None)
    if not size and hasattr(config, "hidden_size") and hasattr(config, "num_attention_heads"):
        size = config.hidden_size // config.num_attention_heads
    if not widths or not size:
        return config
    candidate = copy.deepcopy(config)
    candidate.head_dim = size
    for key, width in widths.items():
        setattr(candidate, key, width // size)
    try:
        candidate.validate()  # LLaMA's, for one, wants a number of heads that divides the hidden size
        stock(model_class, candidate)
    except (ValueError, StrictDataclassError):
        return config
    return candidate


def _split(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Layer names of the attention, and the others."""
    attention = [name for name in names if name.rpartition(".")[2] in _ATTENTION]
    return attention, [name for name in names if name not in attention]


def _shapes(model: nn.Module) -> dict[str, Layer]:
    return {name: Layer.of(module) for name, module in linears(model).items()}


def _buffers(model: nn.Module) -> dict[str, torch.Size]:
    return {name: buffer.shape for name, buffer in model.named_buffers()}


def _numbers(module: nn.Module) -> dict[str, int]:
    """The whole numbers that a module keeps, such as head counts, apart from widths."""
    kept = {key: value for key, value in vars(module).items() if type(value) is int}
    return {key: value for key, value in kept.items() if key not in _SIZES and not key.startswith("_")}


def _with_bias(layer: Layer) -> Layer:
    return Layer(layer.in_features, layer.out_features, True)


def _layer(in_features: Any, out_features: Any, bias: Any) -> Layer:
    if not isinstance(bias, bool):
        raise ValueError(f"bias {bias!r} is not true or false")
    return Layer(_size(in_features), _size(out_features), bias)


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is not a number of features")
    return value
