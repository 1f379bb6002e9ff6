"""The softmax over a batch, and its gradient for batches that do not fit memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

T = TypeVar("T")


def in_batch(queries: Tensor, passages: Tensor, wrong: Tensor | None = None) -> Tensor:
    """Sampled softmax: the mean of ``-log exp(q_i . p_i) / sum_j exp(q_i . p_j)``.

    Parameters
    ----------
    queries, passages : float ``[batch, width]``; a query's own passage has its number.
    wrong : bool ``[batch, batch]``: the pairs that take part; None for all. Its diagonal is not looked at.

    Examples
    --------
    >>> in_batch(torch.eye(1), torch.eye(1))
    tensor(0.)

    References
    ----------
    Chang et al., "Pre-training Tasks for Embedding-based Large-scale Retrieval", ICLR 2020. arXiv:2002.03932.
    """
    scores = queries @ passages.T
    right = torch.arange(len(scores))
    if wrong is not None:
        scores = scores.masked_fill(~(wrong | torch.eye(len(scores), dtype=torch.bool)), -torch.inf)
    return cross_entropy(scores, right)


def strangers(pages: Sequence[str], asked: Sequence[str]) -> Tensor:
    """Which passages are wrong for which queries: those of other pages than the query's and its passage's.

    Parameters
    ----------
    pages : of the passages.
    asked : of the queries.

    Returns
    -------
    Tensor : bool ``[queries, passages]``.

    Examples
    --------
    >>> strangers(["a", "a", "b"], ["a", "c", "c"])
    tensor([[False, False,  True],
            [False, False,  True],
            [ True,  True, False]])
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys([*pages, *asked]))}
    own, of_query = (torch.tensor([numbers[name] for name in names]) for names in (pages, asked))
    return (own[:, None] != own) & (of_query[:, None] != own)


def cached(
    encode: Sequence[Callable[[T], Tensor]],
    parts: Sequence[Sequence[T]],
    loss: Callable[..., Tensor],
) -> Tensor:
    """Add the gradient of a loss over whole batches, holding the graph of one part at a time.

    All parts are encoded without a graph; the loss gives the gradient of every vector; then each part is
    encoded again, as at first, and passes its vectors' gradients on.

    Parameters
    ----------
    encode : the towers, each from a part to float ``[rows, width]``; draws of torch's generator are repeated.
    parts : of each tower.
    loss : of the towers' vectors, each float ``[batch, width]``.

    Returns
    -------
    Tensor : the loss, without graph; gradients are in the parameters' ``grad``.

    References
    ----------
    Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021.
    arXiv:2101.06983.
    """
    if all(len(own) == 1 for own in parts):  # nothing is gained by encoding twice
        with torch.enable_grad():
            value = loss(*(tower(own[0]) for tower, own in zip(encode, parts, strict=True)))
            torch.autograd.backward(value)
        return value.detach()
    states, vectors = [], []
    for tower, own in zip(encode, parts, strict=True):
        found = []
        for part in own:
            states.append(torch.get_rng_state())
            with torch.no_grad():
                found.append(tower(part))
        vectors.append(torch.cat(found).requires_grad_())
    with torch.enable_grad():
        value = loss(*vectors)
        gradients = torch.autograd.grad(value, vectors)
    after, state = torch.get_rng_state(), iter(states)
    for tower, own, gradient in zip(encode, parts, gradients, strict=True):
        first = 0
        for part in own:
            torch.set_rng_state(next(state))
            with torch.enable_grad():
                again = tower(part)
                torch.autograd.backward(again, gradient[first : first + len(again)])
            first += len(again)
    torch.set_rng_state(after)
    return value.detach()
