"""What a token may be replaced by: plausible others, drawn from a distribution for each position."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.attribution.probe import Probe

Kind = Literal["shape", "uniform", "self", "masked"]


class Proposal:
    """A distribution over the vocabulary for every position of a prompt.

    Parameters
    ----------
    weights : at least 0, ``[length, vocabulary]``; what must not be drawn has weight 0.
    """

    def __init__(self, weights: Tensor) -> None:
        self._sums = weights.double().cumsum(1)

    def replace(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The prompt ``[length]`` once for each row of ``mask``, with a fresh draw where it is True.

        A position with no other token to draw stays as it is.
        """
        rows, length = mask.shape
        totals = self._sums[:, -1:]
        draws = torch.rand(length, rows, dtype=torch.float64) * totals
        drawn = torch.searchsorted(self._sums, draws, right=True).clamp(max=self._sums.shape[1] - 1).T
        return torch.where(mask & (totals.T > 0), drawn, ids)


def proposal(kind: Kind, probe: Probe, masked: str) -> Proposal:
    """What may stand in the place of each token of the probe's prompt.

    Never the token itself, and never a special token.

    Parameters
    ----------
    kind : "uniform", every token alike; "shape", those that look alike: begin of a word or not, capital,
        lower case, digits, marks; "self", what the model itself expects behind the tokens before;
        "masked", what a masked language model expects between the tokens before and behind.
    probe : the model, the tokenizer and the prompt.
    masked : name or folder of the masked model, where the kind asks for one.

    Raises
    ------
    InputError : naming ``tokenizer`` or ``masked`` if there is none that the kind needs.
    """
    if kind == "masked":
        from etude.explain.attribution.masked import expected

        weights = expected(probe, masked)
    elif kind == "self":
        weights = _own_expectation(probe)
    else:
        weights = _alike(probe, kind)
    special = getattr(probe.tokenizer, "all_special_ids", None) or []
    weights[:, special] = 0
    weights[torch.arange(probe.length), probe.ids] = 0
    return Proposal(weights)


@torch.no_grad()
def _own_expectation(probe: Probe) -> Tensor:
    """The model's prediction of each token from those before it; the first may be any."""
    logits = probe.model(input_ids=probe.ids[None], use_cache=False).logits[0, :-1].float()
    probe.forwards += 1
    first = torch.full((1, probe.probabilities.shape[0]), 1 / probe.probabilities.shape[0])
    return torch.cat([first, logits.softmax(-1)])


def _alike(probe: Probe, kind: Kind) -> Tensor:
    size = len(probe.probabilities)
    if kind == "uniform" or probe.tokenizer is None:
        return torch.ones(probe.length, size)
    shapes = _shapes(probe.tokenizer, size)
    weights = (shapes[probe.ids][:, None] == shapes[None]).float()
    lonely = weights.sum(1) < 2
    weights[lonely] = 1.0
    return weights


@lru_cache(maxsize=4)
def _shapes(tokenizer: Any, size: int) -> Tensor:
    """A number for the shape of every token of a vocabulary: equal shapes, equal numbers."""
    texts = tokenizer.batch_decode([[token] for token in range(min(size, len(tokenizer)))])
    shapes = [shape(text) for text in texts] + ["absent"] * max(0, size - len(tokenizer))
    numbers = {each: number for number, each in enumerate(dict.fromkeys(shapes))}
    return torch.tensor([numbers[each] for each in shapes])


def shape(text: str) -> str:
    """How a token looks: whether it begins a word, and what its first character is.

    Examples
    --------
    >>> shape(" Paris"), shape("ing"), shape(" 12"), shape(".")
    ('begin capital', 'inside lower', 'begin digit', 'inside mark')
    """
    begins = "begin" if text[:1].isspace() else "inside"
    first = text.strip()[:1]
    kinds = {
        "nothing": not first,
        "digit": first.isdigit(),
        "capital": first.isupper(),
        "lower": first.isalpha(),
    }
    return f"{begins} {next((kind for kind, fits in kinds.items() if fits), 'mark')}"


def check_masked(model: Any, tokenizer: Any) -> None:
    """Raise `InputError` unless a model fills masks and its tokenizer has one."""
    if not type(model).__name__.endswith(("ForMaskedLM", "ForPreTraining")):
        raise InputError("masked", f"{type(model).__name__} fills no masks; name a masked language model")
    if getattr(tokenizer, "mask_token_id", None) is None:
        raise InputError("masked", "its tokenizer has no mask token")
