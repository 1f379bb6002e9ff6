"""What can be cut out of a transformer's blocks: heads, channels, whole blocks.

No model family is named here. A short probe goes through the model; linear layers that read one
tensor, and the single layer that follows them and reads as many features as they write, make a
`Site`. Then one unit of each site is cut out of a copy of a block, and the copy must compute what
the block computes with that unit set to zero: an architecture where it does not is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import Linear, find_blocks, is_transposed, walk
from etude.models.measure import example
from etude.models.widths import expressed, stock

Kind = Literal["attention", "mlp"]

# Names under which modules and configurations keep sizes; whether the right ones were found is tried out.
_HEAD_SIZES = ("head_dim", "attention_head_size", "head_size", "key_value_proj_dim")
_COUNTS: dict[Kind, tuple[str, ...]] = {
    "attention": ("num_heads", "num_attention_heads", "n_heads", "num_key_value_heads", "all_head_size"),
    "mlp": ("intermediate_size", "ffn_dim"),
}


@dataclass(frozen=True, eq=False)
class Site:
    """A place where a block can be made narrower: some projections, and the layer that reads what they make.

    The rows of each source and the columns of the output fall into ``units`` equal runs; run i of
    all of them together is unit i. In an MLP a unit is one channel: a row of up (and of gate), a
    column of down. In an attention a unit is a key-value group: the rows of its key and value head
    and of the query heads that share them, and their columns of the output projection; where no
    heads are shared, a single head.

    Attributes
    ----------
    kind : ``"attention"`` or ``"mlp"``.
    block : index of the block.
    parent : the module that holds the sources, and perhaps numbers such as the count of heads.
    sources : query, key and value; or gate and up; or a single layer.
    output : the layer that reads the units.
    units : how many there are.
    least : how many must stay for the forward pass and for generation to work, 0 or 1.
    """

    kind: Kind
    block: int
    parent: nn.Module
    sources: tuple[Linear, ...]
    output: Linear
    units: int
    least: int = 0

    @property
    def cost(self) -> int:
        """Parameters of one unit: its rows in the sources with their biases, its columns in the output."""
        biases = sum(len(linear.bias) for linear in self.sources if linear.bias is not None)
        return (sum(linear.weight.numel() for linear in (*self.sources, self.output)) + biases) // self.units

    def per_unit(self, features: Tensor) -> Tensor:
        """Regroup ``[width]``, one number a row or a column, into ``[units, width / units]``."""
        return features.reshape(self.units, -1)

    def inside(self, block: nn.Module) -> Site:
        """The same place in another block that is built alike."""
        sources = tuple(Linear(linear.name, block.get_submodule(linear.name)) for linear in self.sources)
        output = Linear(self.output.name, block.get_submodule(self.output.name))
        return replace(self, parent=_parent(block, self.sources[0].name), sources=sources, output=output)

    @torch.no_grad()
    def mask(self, removed: Tensor) -> None:
        """Set the columns of the output that read the units of ``removed``, bool ``[units]``, to zero."""
        self.output.weight.masked_fill_(self._spread(removed, self.output.weight.shape[1]), 0.0)

    @torch.no_grad()
    def cut(self, removed: Tensor, mean: Tensor | None = None) -> None:
        """Take units out of the model, in place. What is left are other sites: find them anew.

        Parameters
        ----------
        removed : bool ``[units]``.
        mean : what the output is to read in their place, ``[features that the output reads]``: what it
            makes of it, ``W[:, removed] @ mean[removed]``, is added to its bias, which is created if
            there is none. None leaves the bias alone.
        """
        if not bool(removed.any()):
            return
        weight, bias = self.output.weight, self.output.bias
        gone = self._spread(removed, weight.shape[1])
        if mean is not None:
            constant = weight[:, gone] @ mean[gone].to(weight.dtype)
            bias = constant if bias is None else bias + constant
        _resize(self.output, weight[:, ~gone], bias)
        for linear in self.sources:
            rows = ~self._spread(removed, linear.weight.shape[0])
            _resize(linear, linear.weight[rows], None if linear.bias is None else linear.bias[rows])
        left = self.units - int(removed.sum())
        for name in _COUNTS[self.kind]:
            value = getattr(self.parent, name, None)
            if type(value) is int:
                setattr(self.parent, name, value * left // self.units)

    def _spread(self, removed: Tensor, width: int) -> Tensor:
        return removed.repeat_interleave(width // self.units)


@torch.no_grad()
def find_sites(model: nn.Module) -> list[Site]:
    """Where the blocks of a model can be made narrower, in the order of the forward pass.

    Works for blocks with separate query, key and value projections and a plain or gated MLP, such
    as those of LLaMA, Qwen, OPT and BERT, with and without biases and grouped-query attention.

    Raises
    ------
    InputError : if a block is built otherwise (fused projections, cross-attention, experts), or does
        not tolerate the removal of a head (a position bias for each head, a norm over all heads).

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(vocab_size=8, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
    ...                      num_attention_heads=4, num_key_value_heads=2)
    >>> for site in find_sites(LlamaForCausalLM(config)):
    ...     print(site.kind, site.units, site.cost, [linear.name for linear in site.sources])
    attention 2 384 ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']
    mlp 24 48 ['mlp.gate_proj', 'mlp.up_proj']
    """
    calls: list[_Call] = []
    handle = find_blocks(model)[1][0].register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    try:
        probe = example(model, 2, 5, next(model.parameters()).device)[0]
        blocks = [(block.module, _sharing(block.linears)) for block in walk(model, probe, feed="dense")]
    finally:
        handle.remove()
    size = _head_size(model)
    sites = [site for index, block in enumerate(blocks) for site in _sites(index, *block, size)]
    least = {site.kind: _least(site, blocks[0][0], calls[0]) for site in sites[:2]}
    # transformers reads the length of a key-value cache off the first block: a head must stay there.
    first = ("attention", 0)
    return [replace(x, least=1 if (x.kind, x.block) == first else least[x.kind]) for x in sites if x.units]


def stock_counts(model: Any, sites: Sequence[Site]) -> Callable[[int], bool]:
    """Whether a stock configuration can say that every attention has lost so many of its units.

    Asks what a checkpoint of such a model would need: some architectures have no setting for it, and
    LLaMA's wants a number of heads that divides the hidden size. A model that no stock configuration
    describes as it is now is not restricted further.
    """
    found = expressed(model, model.config)
    heads = [site for site in sites if site.kind == "attention"]

    def is_stock(lost: int) -> bool:
        if found is None or lost == 0:
            return True
        config = found[0]
        twin = stock(type(model), config)
        blocks = find_blocks(twin)[1]
        for site in heads:
            site.inside(blocks[site.block]).cut(torch.arange(site.units) < lost)
        return expressed(twin, config) is not None

    return is_stock


def drop_blocks(model: Any, removed: Iterable[int]) -> None:
    """Take whole blocks out of a model and out of its configuration, in place.

    Parameters
    ----------
    model : a ``PreTrainedModel``.
    removed : indices of the blocks; at least one other must be left.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8,
    ...                                      num_hidden_layers=3, num_attention_heads=2))
    >>> drop_blocks(model, [1])
    >>> len(model.model.layers), model.config.num_hidden_layers
    (2, 2)
    """
    blocks, gone = find_blocks(model)[1], set(removed)
    for key, value in model.config.to_dict().items():
        if "layer" in key and isinstance(value, list) and len(value) == len(blocks):
            setattr(model.config, key, [item for index, item in enumerate(value) if index not in gone])
    for index in sorted(gone, reverse=True):
        del blocks[index]
    model.config.num_hidden_layers = len(blocks)
    for index, block in enumerate(blocks):
        for module in block.modules():
            if type(getattr(module, "layer_idx", None)) is int:
                module.layer_idx = index  # type: ignore[assignment]


Groups = Sequence[Sequence[str]]
"""Names of the linear layers of a block, those together that share an input, in the order of their calls."""
_Call = tuple[tuple[Any, ...], dict[str, Any]]


def _sharing(linears: Sequence[Linear]) -> Groups:
    """The names of layers called one after another on one tensor, in the order of their calls."""
    return [[linear.name for linear in group] for _, group in groupby(linears, key=lambda x: id(x.inputs))]


def _sites(index: int, module: nn.Module, groups: Groups, head_size: int | None) -> list[Site]:
    """Pair each group of layers that share an input with the layer called next."""
    pairs = zip(groups[::2], groups[1::2], strict=False)
    found = [_site(index, module, sources, readers, head_size) for sources, readers in pairs]
    sites = [site for site in found if site is not None]
    if [site.kind for site in sites] != ["attention", "mlp"] or len(groups) != 4:
        names = " | ".join(", ".join(group) for group in groups)
        raise InputError(
            "model",
            f"block {index} is not made of query, key and value projections, their output, and an MLP: "
            f"its linear layers ({names}) cannot be cut by heads and channels (fused ones cannot, for one)",
        )
    return sites


def _site(
    index: int, module: nn.Module, names: Sequence[str], readers: Sequence[str], head_size: int | None
) -> Site | None:
    """The site of layers that share an input and of the layer called next, if that reads what they write."""
    sources = tuple(Linear(name, module.get_submodule(name)) for name in names)
    output = Linear(readers[0], module.get_submodule(readers[0]))
    widths = [linear.weight.shape[0] for linear in sources]
    if len(readers) > 1 or max(widths) != output.weight.shape[1]:
        return None
    parent = _parent(module, names[0])
    if len(sources) < 3:
        return Site("mlp", index, parent, sources, output, max(widths))
    size = next((getattr(parent, name) for name in _HEAD_SIZES if hasattr(parent, name)), head_size)
    return Site("attention", index, parent, sources, output, min(widths) // size) if size else None


def _parent(block: nn.Module, name: str) -> nn.Module:
    return block.get_submodule(name.rpartition(".")[0])


def _head_size(model: Any) -> int | None:
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None)
    if size is None and hasattr(config, "hidden_size") and hasattr(config, "num_attention_heads"):
        size = config.hidden_size // config.num_attention_heads
    return size


def _least(site: Site, module: nn.Module, call: _Call) -> int:
    """How many units must stay at a site of the first block: 0 or 1, found by removing from a copy."""

    def tolerates(removed: int) -> bool:
        block = copy.deepcopy(module).eval()
        twin = site.inside(block)
        gone = torch.arange(site.units) < removed
        twin.mask(gone)
        expected = _output(block, call)
        if not bool(expected.isfinite().all()):
            raise InputError("model", "what its first block computes is not finite; the model is broken")
        twin.cut(gone)
        try:
            found = _output(block, call)
        except (RuntimeError, ValueError, IndexError):
            return False
        limit = 100 * torch.finfo(expected.dtype).eps * float(expected.abs().max())
        return bool((found - expected).abs().max() <= limit)

    if site.units > 1 and not tolerates(1):
        names = ", ".join(linear.name for linear in site.sources)
        raise InputError("model", f"its forward pass fails or errs when units of {names} are removed")
    return 0 if tolerates(site.units) else 1


def _output(module: nn.Module, call: _Call) -> Tensor:
    args, kwargs = call
    output = module(*args, **kwargs)
    hidden: Tensor = output if isinstance(output, Tensor) else output[0]
    return hidden


def _resize(linear: Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Give a layer other numbers, ``[out, in]`` and ``[out]``, perhaps of another size."""
    module, (out, wide) = linear.module, weight.shape
    if is_transposed(module):
        module.nx, module.nf, weight = wide, out, weight.T  # type: ignore[assignment]
    else:
        module.in_features, module.out_features = wide, out  # type: ignore[assignment]
    trained, before = bool(module.weight.requires_grad), linear.weight
    module.weight = nn.Parameter(_placed(weight.contiguous(), before), requires_grad=trained)
    module.bias = None if bias is None else nn.Parameter(bias.contiguous(), requires_grad=trained)  # type: ignore[assignment]


def _placed(new: Tensor, old: Tensor) -> Tensor:
    """What is to replace ``old``, in its memory if that cannot be given back.

    Weights mapped from a checkpoint's file stay resident until the last of them is gone: putting the new
    ones elsewhere would add to the memory of a model that is to become smaller.
    """
    if old.untyped_storage().resizable() or new.numel() > old.numel():
        return new
    return old.reshape(-1)[: new.numel()].view(new.shape).copy_(new)
