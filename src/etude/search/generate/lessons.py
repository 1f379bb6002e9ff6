"""Batches of pairs to learn from: of one document, whose suffixes are hard to tell apart, or of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from etude.search.passages import Pair


def same_document(found: Sequence[Pair], size: int, draw: torch.Generator) -> Iterator[list[Pair]]:
    """Batches without end, each of one document: the others' suffixes are hard negatives for each.

    Documents come up in proportion to their pairs; one with fewer than two is left out.
    """
    groups: dict[int, list[Pair]] = {}
    for pair in found:
        groups.setdefault(pair.document, []).append(pair)
    several = [group for group in groups.values() if len(group) > 1]
    weights = torch.tensor([float(len(group)) for group in several])
    while True:
        group = several[int(torch.multinomial(weights, 1, generator=draw))]
        yield [group[place] for place in torch.randperm(len(group), generator=draw)[:size].tolist()]


def any_document(found: Sequence[Pair], size: int, draw: torch.Generator) -> Iterator[list[Pair]]:
    """Batches without end of pairs of all documents."""
    while True:
        yield [found[place] for place in torch.randperm(len(found), generator=draw)[:size].tolist()]
