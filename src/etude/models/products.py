"""What attention multiplies, queries by keys and probabilities by values, open to be rounded.

transformers lets attention be computed by a function of one's own. The one that stands here does it with
every operand passing through a module, ``<attention>.products.queries`` and so on, in front of which a
rounding can be put as in front of a linear layer (`etude.models.inputs`). There is nothing to learn in them
and nothing to store, so that the model's tensors and their names stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from torch import Tensor, nn

from etude.errors import InputError

NAME = "etude_products"
CHILD = "products"
OPERANDS = ("queries", "keys", "probabilities", "values")
_UNKNOWN = ("position_bias", "s_aux", "softcap")
"""What attention may be asked for besides, and is not here."""


class Products(nn.Module):
    """The two products of an attention, its operands passing through a module each.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    >>> expected = nn.functional.scaled_dot_product_attention(x, x, x)
    >>> torch.allclose(Products()(x, x, x, None, scaling=0.5), expected, atol=1e-6)
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.keys, self.probabilities, self.values = (nn.Identity() for _ in OPERANDS)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        scaling: float,
        dropout: float = 0.0,
    ) -> Tensor:
        """``softmax(Q K^T scaling + mask) V``, each ``[batch, heads, length, width]``."""
        scores = self.queries(queries) @ self.keys(keys).mT * scaling
        probabilities = (scores if mask is None else scores + mask).softmax(-1)
        probabilities = nn.functional.dropout(probabilities, dropout)
        product: Tensor = self.probabilities(probabilities) @ self.values(values)
        return product


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as in transformers' own interface, by the `Products` of ``module`` where it has them.

    Raises
    ------
    InputError : if what the model asks for besides is not computed here.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    products = getattr(module, CHILD, None)
    if not isinstance(products, Products):
        made: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
        return made
    asked = [name for name in _UNKNOWN if others.get(name) is not None]
    if asked:
        raise InputError("products", f"attention with {', '.join(asked)} cannot be rounded")
    repeats = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, repeats), repeat_kv(value, repeats)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    mixed = products(query, key, value, attention_mask, scaling, dropout)
    return mixed.transpose(1, 2).contiguous(), None


@cache
def register() -> None:
    """Make the attention known to transformers under `NAME`; masks come as numbers to add."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)


def attentions(model: nn.Module) -> list[str]:
    """The attentions of a model that compute through transformers' interface, by dotted name.

    Raises
    ------
    InputError : if there are none.
    """
    found = [name for name, module in model.named_modules() if hasattr(module, "is_causal")]
    if not found or not getattr(model, "_supports_attention_backend", False):
        raise InputError("model", f"{type(model).__name__} has an attention of its own that cannot be opened")
    return found


def open_products(model: Any, names: Iterable[str]) -> None:
    """Let these attentions of a model, by dotted name, compute by `Products`; those that do stay as they are.

    Examples
    --------
    >>> from etude.models import load
    >>> model, _ = load("nano-vit")
    >>> open_products(model, attentions(model))
    >>> len(operands(model))
    16
    >>> close_products(model)
    >>> operands(model)
    []
    """
    register()
    for name in names:
        module = model.get_submodule(name)
        if not isinstance(getattr(module, CHILD, None), Products):
            module.add_module(CHILD, Products())
    model.set_attn_implementation(NAME)


def close_products(model: Any) -> None:
    """Let all attentions compute as transformers does; roundings in front of their operands go."""
    for module in model.modules():
        if isinstance(getattr(module, CHILD, None), Products):
            delattr(module, CHILD)
    model.set_attn_implementation("sdpa")


def operands(model: nn.Module) -> list[str]:
    """The modules, by dotted name, that operands of a model's open products pass through."""
    opened = [name for name, module in model.named_modules() if isinstance(module, Products)]
    return [f"{name}.{operand}" for name in opened for operand in OPERANDS]


def owners(names: Iterable[str]) -> list[str]:
    """The attentions that have the operands among some dotted names, each once.

    Examples
    --------
    >>> owners(["h.0.attn.products.keys", "h.0.attn.products.values", "h.0.mlp.up"])
    ['h.0.attn']
    """
    ends = tuple(f".{CHILD}.{operand}" for operand in OPERANDS)
    return list(dict.fromkeys(name.rsplit(".", 2)[0] for name in names if name.endswith(ends)))
