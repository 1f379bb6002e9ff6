"""Move factors from the inputs of linear layers into the operator before them.

Which operator that is, and which of its outputs feeds which input, is found by trying: the outputs of
every norm and linear layer of a block are multiplied by distinct factors, and a linear layer whose
inputs turn up multiplied by exactly these factors hangs on it. A fold is accepted only if the block
computes the same once the layers' inputs are divided again, so that a norm that also feeds the residual
stream, or an activation that is not homogeneous, is never folded into.

Where such an activation lies between, the factors have nowhere to go, and the layer's inputs have to be
divided as they come. Which layers these are is found by trying too: half of the outputs of a linear layer
are changed, and no other inputs of the next may change than that half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor, nn

from etude.models.blocks import Call, Linear, first_tensor, linears


@dataclass(frozen=True)
class Fold:
    """Linear layers of a block that read one input, and the operator that their input comes from.

    Attributes
    ----------
    source : name in the block of the norm or linear layer whose outputs can be divided; None where there is
        none, and the inputs are to be divided as they come.
    consumers : names in the block of the linear layers whose inputs are then multiplied.
    rows : int64 ``[in]``, the output of the source that each input of the consumers comes from. Under
        grouped-query attention several inputs of the output projection come from one of the values.
    offset : 1 for norms that multiply by one plus their weight, else 0.
    """

    source: str | None
    consumers: tuple[str, ...]
    rows: Tensor
    offset: float = 0.0

    @property
    def inspected(self) -> str:
        """Name of the smallest module that holds all consumers, "" for the block itself."""
        if len(self.consumers) == 1:
            return self.consumers[0]
        levels = zip(*(name.split(".")[:-1] for name in self.consumers), strict=False)
        return ".".join(names[0] for names in takewhile(lambda names: len(set(names)) == 1, levels))

    @property
    def repeats(self) -> bool:
        """Whether several inputs come from one output."""
        return len(set(self.rows.tolist())) < len(self.rows)

    def shared(self, values: Tensor) -> Tensor:
        """Values of the inputs ``[in]``, averaged where inputs come from one output."""
        sums = torch.zeros(int(self.rows.max()) + 1).index_add_(0, self.rows, values)
        counts = torch.zeros_like(sums).index_add_(0, self.rows, torch.ones_like(values))
        return (sums / counts)[self.rows]

    @torch.no_grad()
    def apply(self, block: nn.Module, scales: Tensor) -> None:
        """Multiply the consumers' weights by ``scales``, divide the source's outputs: nothing else changes.

        Without a source the consumers are right only for inputs that have been divided by ``scales``.

        Parameters
        ----------
        block : edited in place.
        scales : positive ``[in]``, equal for inputs that come from one output.
        """
        for name in self.consumers:
            Linear(name, block.get_submodule(name)).weight.mul_(scales)
        if self.source is None:
            return
        module = block.get_submodule(self.source)
        if self.source in linears(block):
            weight = Linear(self.source, module).weight
        else:
            weight = module.weight.detach()  # type: ignore[operator]
        divisor = torch.ones(len(weight)).index_put_((self.rows,), scales)
        weight.add_(self.offset).div_(divisor if weight.ndim == 1 else divisor[:, None]).sub_(self.offset)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            bias.div_(divisor)


@torch.no_grad()
def find_folds(block: nn.Module, call: Call) -> list[Fold]:
    """All folds of a block, at most one for each linear layer, in the order of the block's calls.

    Parameters
    ----------
    block : of a transformer; left as it is.
    call : arguments of the block for a few tokens.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaModel
    >>> model = LlamaModel(LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=16,
    ...                                num_hidden_layers=1, num_attention_heads=2)).eval()
    >>> x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    >>> call = (x,), {"position_embeddings": model.rotary_emb(x, torch.arange(4)[None])}
    >>> for fold in find_folds(model.layers[0], call):
    ...     print(fold.source, "->", *fold.consumers)
    input_layernorm -> self_attn.q_proj self_attn.k_proj self_attn.v_proj
    self_attn.v_proj -> self_attn.o_proj
    post_attention_layernorm -> mlp.gate_proj mlp.up_proj
    mlp.up_proj -> mlp.down_proj
    """
    trial = _Trial(block, call)
    found: dict[str, Fold] = {}
    for source in trial.outputs:
        fold = next(filter(None, map(trial.fold, trial.proposals(source))), None)
        if fold is not None:
            found |= dict.fromkeys(fold.consumers, fold)
    return _unique(found)


@torch.no_grad()
def find_activated(block: nn.Module, call: Call, folds: Iterable[Fold]) -> list[Fold]:
    """Folds without a source: layers behind an activation that is not homogeneous.

    Parameters
    ----------
    block : of a transformer; left as it is.
    call : arguments of the block for a few tokens.
    folds : those of `find_folds`; their layers have a source.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2Model
    >>> model = GPT2Model(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=2)).eval()
    >>> call = (torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0)),), {}
    >>> for fold in find_activated(model.h[0], call, find_folds(model.h[0], call)):
    ...     print(fold.source, "->", *fold.consumers)
    None -> mlp.c_proj
    """
    trial = _Trial(block, call)
    folded = {name for fold in folds for name in fold.consumers}
    readers = {name: None for source in trial.linears for name in trial.readers(source)}
    return [Fold(None, (name,), torch.arange(trial.width(name))) for name in readers if name not in folded]


def _unique(found: Mapping[str, Fold]) -> list[Fold]:
    """Each fold once; one that has lost a consumer to a later source is dropped."""
    folds = list({id(fold): fold for fold in found.values()}.values())
    return [fold for fold in folds if all(found[name] is fold for name in fold.consumers)]


class _Trial:
    """A block and what it computes undisturbed."""

    def __init__(self, block: nn.Module, call: Call) -> None:
        self.block = block
        self.call = call
        self.linears = linears(block)
        self.outputs: dict[str, Tensor] = {}
        self.inputs, self.result = self.run(listen=self.outputs)

    def run(
        self,
        factors: Mapping[str, Tensor] | None = None,
        divisors: Mapping[str, Tensor] | None = None,
        listen: dict[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs of the linears and output of the block, with outputs multiplied and inputs divided."""
        inputs: dict[str, Tensor] = {}
        with ExitStack() as stack:
            for name, module in self.block.named_modules():
                if name in self.linears:
                    divisor = (divisors or {}).get(name)
                    stack.enter_context(_before(module, _note(inputs, name, divisor)))
                if name in self.linears or _is_norm(module):
                    factor = (factors or {}).get(name)
                    stack.enter_context(_after(module, _multiply(listen, name, factor)))
            result = first_tensor(self.block(*self.call[0], **self.call[1]))
        return inputs, result

    def width(self, name: str) -> int:
        """Inputs of a linear layer."""
        return self.inputs[name].shape[-1]

    def readers(self, source: str) -> list[str]:
        """Linear layers each of whose inputs is a function of the output of ``source`` in its place."""
        if source not in self.outputs:  # never called
            return []
        width = self.outputs[source].shape[-1]
        changed = _distinct(width) > 1
        inputs, _ = self.run({source: torch.where(changed, 1.5, 1.0)})
        moved = {
            name: (x != self.inputs[name]).reshape(-1, width).any(0)
            for name, x in inputs.items()
            if x.shape[-1] == width
        }
        return [name for name, where in moved.items() if where.any() and not (where & ~changed).any()]

    def proposals(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Factors of the source's outputs to try: all distinct, then of values fused with queries and keys.

        These are the last rows, of all (GPT-2) or of each head (BLOOM); how many heads there are is tried.
        """
        width = self.outputs[source].shape[-1]
        yield source, _distinct(width)
        if source in self.linears:
            narrower = {x.shape[-1] for x in self.inputs.values() if x.shape[-1] < width}
            for size in sorted(narrower, reverse=True):
                for heads in _common_divisors(size, width):
                    others = torch.ones(heads, (width - size) // heads)
                    yield source, torch.cat([others, _distinct(size).view(heads, -1)], 1).flatten()

    def fold(self, proposal: tuple[str, Tensor]) -> Fold | None:
        """The fold that a trial with these factors shows, if it leaves the block equal."""
        source, factors = proposal
        inputs, _ = self.run({source: factors})
        rows = {
            name: found
            for name, x in inputs.items()
            if (found := _origins(self.inputs[name], x, factors)) is not None
        }
        first = next(iter(rows.values()), None)
        if first is None or any(not torch.equal(first, other) for other in rows.values()):
            return None
        _, result = self.run({source: factors}, {name: factors[first] for name in rows})
        if not torch.allclose(result, self.result, rtol=1e-3, atol=1e-4 * float(self.result.abs().max())):
            return None
        offset = 0.0 if source in self.linears else _offset(self.block.get_submodule(source))
        return None if offset is None else Fold(source, tuple(rows), first, offset)


def _origins(before: Tensor, after: Tensor, factors: Tensor) -> Tensor | None:
    """Which factor each feature was multiplied by, ``[features]``; None if any was not."""
    x, y = before.reshape(-1, before.shape[-1]), after.reshape(-1, after.shape[-1])
    if torch.equal(x, y):
        return None
    squares = x.square().sum(0)
    live = squares > 1e-12 * squares.max()
    ratio = (x * y).sum(0) / squares.clamp(min=1e-30)
    strayed = (y - ratio * x).square().sum(0) > 1e-6 * y.square().sum(0).clamp(min=1e-30)
    if bool((strayed & live).any()) or bool((ratio[live] <= 0).any()):
        return None
    order = factors.argsort()
    place = torch.searchsorted(factors[order], ratio.clamp(min=1e-30)).clamp(1, len(factors) - 1)
    low, high = order[place - 1], order[place]
    rows = torch.where((ratio / factors[low]) < (factors[high] / ratio.clamp(min=1e-30)), low, high)
    if not bool(
        live.all()
    ):  # features that were 0 throughout tell nothing: only the plain order explains them
        plain = torch.arange(len(rows)) + len(factors) - len(rows)
        return plain if len(rows) <= len(factors) and torch.equal(rows[live], plain[live]) else None
    return rows


def _offset(norm: nn.Module) -> float | None:
    """What a norm adds to its weight before it multiplies, 0 or 1, by trying; None if neither."""
    weight: Tensor = norm.weight.detach()  # type: ignore[operator]
    bias = getattr(norm, "bias", None)
    x = torch.randn(4, len(weight), generator=torch.Generator().manual_seed(0))
    shift = bias if isinstance(bias, Tensor) else 0.0
    kept, expected = weight.clone(), (norm(x) - shift) * 2
    for offset in (0.0, 1.0):
        weight.copy_((kept + offset) * 2 - offset)
        doubled = norm(x) - shift
        weight.copy_(kept)
        if torch.allclose(doubled, expected, rtol=1e-4, atol=1e-5):
            return offset
    return None


def _is_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim == 1 and not any(True for _ in module.children())


def _common_divisors(size: int, width: int) -> list[int]:
    """Numbers of heads, from 1, that divide both, with several features in a head."""
    return [heads for heads in range(1, size // 2 + 1) if size % heads == 0 and width % heads == 0]


def _distinct(count: int) -> Tensor:
    """Factors between a half and 2, in mixed order, never 1."""
    steps = (torch.arange(count) + 0.37) / count
    mixed = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return torch.exp2(2 * steps - 1)[mixed]


def _note(into: dict[str, Tensor], name: str, divisor: Tensor | None) -> Callable[[Tensor], Tensor]:
    def note(x: Tensor) -> Tensor:
        x = x if divisor is None else x / divisor
        into[name] = x
        return x

    return note


def _multiply(into: dict[str, Tensor] | None, name: str, factor: Tensor | None) -> Callable[[Tensor], Tensor]:
    def multiply(y: Tensor) -> Tensor:
        if into is not None:
            into[name] = y
        return y if factor is None else y * factor

    return multiply


@contextmanager
def _before(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    handle = module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _after(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    handle = module.register_forward_hook(lambda _, args, output: change(output))
    try:
        yield
    finally:
        handle.remove()
