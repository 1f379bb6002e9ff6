"""Self-attention over the items that a user had, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from etude.search.seq2seq import batches


class Block(nn.Module):
    """One head of attention to what came before, and an inner layer, each added to what it was given."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.between = nn.LayerNorm(width)
        self.inner = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, states: Tensor, allowed: Tensor) -> Tensor:
        """States ``[users, length, width]``; ``allowed``, bool ``[users, length, length]``."""
        queries, keys, values = self.project(self.before(states)).chunk(3, dim=-1)
        states = states + self.drop(scaled_dot_product_attention(queries, keys, values, attn_mask=allowed))
        result: Tensor = states + self.drop(self.inner(self.between(states)))
        return result


class Network(nn.Module):
    """Vectors of items and places, blocks, and the product with every item's vector.

    Parameters
    ----------
    items : how many there are.
    width, blocks : of the network.
    length : items of a user that are read, the last ones.
    dropout : in training.
    """

    def __init__(self, items: int, *, width: int, blocks: int, length: int, dropout: float) -> None:
        super().__init__()
        self.length = length
        self.vectors = nn.Embedding(items + 1, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, dropout) for _ in range(blocks)])
        self.last = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        for table in (self.vectors, self.places):
            nn.init.normal_(table.weight, std=width**-0.5)

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Network:
        """From its weights."""
        items, width = state["vectors.weight"].shape
        blocks = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        length = len(state["places.weight"])
        network = cls(items - 1, width=width, blocks=blocks, length=length, dropout=0.0)
        network.load_state_dict(dict(state))
        return network.eval()

    def forward(self, items: Tensor) -> Tensor:
        """Scores of all items behind each item, ``[users, length, items]``; 0 is no item, n + 1 is item n."""
        there = items > 0
        causal = torch.ones(items.shape[1], items.shape[1], dtype=torch.bool).tril()
        itself = torch.eye(items.shape[1], dtype=torch.bool)  # so that no row of the mask is empty
        allowed = causal & (there[:, None, :] | itself)
        states = self.drop(self.vectors(items) * there[..., None] + self.places.weight[-items.shape[1] :])
        for block in self.blocks:
            states = block(states, allowed)
        scores: Tensor = self.last(states) @ self.vectors.weight[1:].T
        return scores


def batch_of(histories: Sequence[Sequence[int]], length: int) -> Tensor:
    """The last items of each user plus 1, zeros in front, ``[users, length]``."""
    table = torch.zeros(len(histories), length, dtype=torch.long)
    for row, had in enumerate(histories):
        last = torch.tensor(had[-length:], dtype=torch.long) + 1
        table[row, length - len(last) :] = last
    return table


def losses(network: Network, sequences: Sequence[Sequence[int]], batch: int, seed: int) -> Iterator[Tensor]:
    """Cross-entropy, over all items, of each item behind those before it."""
    table = batch_of(sequences, network.length + 1)
    for places in batches(len(sequences), batch, seed):
        rows = table[torch.tensor(places)]
        given, wanted = rows[:, :-1], rows[:, 1:]
        yield cross_entropy(network(given)[given > 0], wanted[given > 0] - 1)
