"""Binary attention, and what the estimators add to it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from etude.compress.binarize.attention import BinaryAttention, Estimators, Structure
from etude.compress.binarize.signs import signed, unsigned
from etude.seeds import seeded

WIDTH, HEADS, LENGTH = 24, 3, 10


def attention(rank: int) -> BinaryAttention:
    with seeded(0):
        plain = SimpleNamespace(
            query=nn.Linear(WIDTH, WIDTH),
            key=nn.Linear(WIDTH, WIDTH),
            value=nn.Linear(WIDTH, WIDTH),
            num_attention_heads=HEADS,
            dropout=nn.Dropout(0.0),
        )
        return BinaryAttention(plain, Structure(rank=rank)).eval()


def hidden() -> Tensor:
    return torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_scores_and_context_are_those_of_the_paper() -> None:
    module, states = attention(rank=2), hidden()
    mask = torch.zeros(2, 1, 1, LENGTH)
    mask[1, ..., 7:] = torch.finfo(torch.float32).min
    context, weights = module(states, mask)

    def heads(layer: nn.Module) -> Tensor:
        return layer(states).view(2, LENGTH, HEADS, -1).transpose(1, 2)

    q, k, v = (
        signed(heads(layer), site.scale)
        for layer, site in (
            (module.query, module.queries),
            (module.key, module.keys),
            (module.value, module.values),
        )
    )
    e = module.estimators
    qm, qp, km, kp = (x[:, None] for x in (e.q_m(states), e.q_p(states), e.k_m(states), e.k_p(states)))
    lacking = qm @ kp.mT + qp @ km.mT + qp @ kp.mT
    probabilities = ((q @ k.mT + lacking) / math.sqrt(WIDTH // HEADS) + mask).softmax(-1)
    expected = unsigned(probabilities, module.weights.scale)
    torch.testing.assert_close(weights, expected)
    vp = e.v_p(states)[:, None].expand(-1, HEADS, -1, WIDTH // HEADS)
    together = (expected @ v + expected @ vp).transpose(1, 2).reshape(2, LENGTH, WIDTH)
    torch.testing.assert_close(context, together)
    assert not weights[1, ..., 7:].any()


@torch.no_grad()
def test_estimators_of_zero_are_no_estimators() -> None:
    module, plain = attention(rank=1), attention(rank=0)
    for parameter in module.estimators.parameters():
        parameter.zero_()
    assert torch.equal(module(hidden())[0], plain(hidden())[0])


@torch.no_grad()
def test_a_constant_value_estimate_adds_the_sums_of_the_rows() -> None:
    module = attention(rank=1)
    for parameter in module.estimators.parameters():
        parameter.zero_()
    before, weights = module(hidden())
    module.estimators.v_p.bias.fill_(0.75)
    after, _ = module(hidden())
    sums = weights.sum(-1).transpose(1, 2)[..., None].expand(-1, -1, -1, WIDTH // HEADS)
    torch.testing.assert_close(after - before, 0.75 * sums.reshape(2, LENGTH, WIDTH))


def test_the_residual_is_a_polynomial_in_the_errors() -> None:
    draw = torch.Generator().manual_seed(2)
    q, k = torch.randn(2, LENGTH, WIDTH, generator=draw).double()
    qb, kb = (signed(x, 2 * x.abs().mean()) for x in (q, k))
    eq, ek = q - qb, k - kb
    torch.testing.assert_close(q @ k.mT - qb @ kb.mT, qb @ ek.mT + eq @ kb.mT + eq @ ek.mT)


@torch.no_grad()
def test_a_higher_rank_estimates_the_residual_better() -> None:
    """The form is of rank 2r: the best fit follows from the singular vectors of the heads' mean residual."""
    module, states = attention(rank=0), hidden()[:1]
    q, k = (layer(states)[0].view(LENGTH, HEADS, -1).transpose(0, 1) for layer in (module.query, module.key))
    residual = q @ k.mT - signed(q, 2 * q.abs().mean()) @ signed(k, 2 * k.abs().mean()).mT
    left, size, right = torch.linalg.svd(residual.mean(0))
    errors = [residual.norm().item()]
    for rank in (1, 2, 4):
        maps = Estimators(WIDTH, rank)
        u, v = left[:, : 2 * rank] * size[: 2 * rank], right[: 2 * rank].T
        first, second = slice(None, rank), slice(rank, None)
        wanted = {"q_m": u[:, first], "k_p": v[:, first], "q_p": u[:, second]}
        wanted["k_m"] = v[:, second] - v[:, first]
        for name, values in wanted.items():
            linear = getattr(maps, name)
            linear.weight.copy_((torch.linalg.pinv(states[0]) @ values).T)
            linear.bias.zero_()
        errors.append((residual - maps.scores(states)[0]).norm().item())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.95 * errors[0]
