"""Wanda's and GBLM's rules once more, as slowly and plainly as they can be put down, and tiny models."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from tests.models import zoo
from torch import Tensor, nn

from etude.models.blocks import block_linears, find_blocks, is_transposed, linears

MODELS = {name: zoo.ZOO[name] for name in ("llama", "llama with biases, untied", "gpt2", "opt")}
SEGMENTS, LENGTH = 6, 12


def calibration(padding: bool = False, segments: int = SEGMENTS) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 64, (segments, LENGTH), generator=draw)
    mask = torch.ones_like(ids)
    if padding:
        mask[1, -5:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def oriented(module: nn.Module, weight: Tensor) -> Tensor:
    """``[out, in]`` whatever the layer stores."""
    return weight.T if is_transposed(module) else weight


@torch.no_grad()
def activation_norms(model: Any, part: dict[str, Tensor]) -> dict[str, Tensor]:
    """For each linear, by name, the root of the mean over segments of the sum over tokens of ``x^2``."""
    totals: dict[str, Tensor] = {}

    def hear(_: nn.Module, args: tuple[Tensor], name: str, mask: Tensor) -> None:
        totals[name] = totals.get(name, 0) + args[0].double().flatten(0, -2)[mask == 1].square().sum(0)

    for segment in range(len(part["input_ids"])):
        one = {key: value[segment : segment + 1] for key, value in part.items()}
        handles = [
            x.module.register_forward_pre_hook(partial(hear, name=x.name, mask=one["attention_mask"][0]))
            for x in block_linears(model)
        ]
        model(**one)
        for handle in handles:
            handle.remove()
    return {name: (total / len(part["input_ids"])).sqrt() for name, total in totals.items()}


def gradient_norms(model: Any, part: dict[str, Tensor], norm: str) -> dict[str, Tensor]:
    """For each linear, by name, the norm over segments of the gradient of the segment's mean loss."""
    model = copy.deepcopy(model)
    per_segment: dict[str, list[Tensor]] = {x.name: [] for x in block_linears(model)}
    for segment in range(len(part["input_ids"])):
        one = {key: value[segment : segment + 1] for key, value in part.items()}
        model.zero_grad()
        model(**one, labels=one["input_ids"].masked_fill(one["attention_mask"] == 0, -100)).loss.backward()
        for linear in block_linears(model):
            per_segment[linear.name].append(oriented(linear.module, linear.module.weight.grad).double())
    return {
        name: torch.stack(values).abs().sum(0) if norm == "l1" else torch.stack(values).square().sum(0).sqrt()
        for name, values in per_segment.items()
    }


@torch.no_grad()
def prune_by_block(model: Any, part: dict[str, Tensor], score: Any, choose: Any) -> None:
    """Block by block as the papers do: measure the dense block behind pruned ones, then prune it.

    ``score(name, weight, norm)`` and ``choose(scores)`` work on ``[out, in]``; norms are measured anew by a
    pass through the whole model for every block.
    """
    prefix, blocks = find_blocks(model)
    for index, block in enumerate(blocks):
        norms = activation_norms(model, part)
        for child, module in linears(block).items():
            name = f"{prefix}.{index}.{child}"
            weight = oriented(module, module.weight)
            weight[choose(score(name, weight, norms[name].float()))] = 0


def lowest_of_rows(score: Tensor, sparsity: float) -> Tensor:
    order = score.sort(dim=-1, stable=True).indices[:, : int(score.shape[1] * sparsity)]
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, True)


def lowest_of_groups(score: Tensor, n: int, m: int) -> Tensor:
    mask = torch.zeros_like(score, dtype=torch.bool)
    for start in range(0, score.shape[1], m):
        order = score[:, start : start + m].sort(dim=-1, stable=True).indices[:, : m - n]
        mask.scatter_(1, start + order, True)
    return mask


def weights(model: Any) -> dict[str, Tensor]:
    return {linear.name: linear.weight.clone() for linear in block_linears(model)}


def same_weights(one: Any, other: Any) -> bool:
    """To the last bit, over all parameters."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def survivors_are_untouched(pruned: Any, dense: Any) -> bool:
    """Every linear weight is what it was, or zero; every other parameter is what it was."""
    inside = {id(linear.module.weight) for linear in block_linears(pruned)}
    return all(
        torch.equal(a, b) if id(a) not in inside else bool(((a == b) | (a == 0)).all())
        for a, b in zip(pruned.parameters(), dense.parameters(), strict=True)
    )
