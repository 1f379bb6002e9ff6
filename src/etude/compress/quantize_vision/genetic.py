"""Genetic search for bit lists under a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from etude.compress.quantize_vision.formats import BITS
from etude.compress.quantize_vision.predictor import Lists
from etude.progress import track

WINDOW = 0.5
"""How far below its budget an average may be."""
STEP = 0.2
"""Averages are told apart as finely as this."""
RANDOM_LISTS = 500_000
PATIENCE = 100
"""Draws before a list that misses its budget is nudged into it."""


@dataclass(frozen=True, eq=False)
class Budget:
    """What bit lists cost, and how much they may.

    Parameters
    ----------
    sizes : parameters and activations of each layer, ``[2, layers]``; the first and the last do not count.
    most : average bits of weights and of activations that may not be exceeded.
    """

    sizes: NDArray[np.float64]
    most: tuple[float, float]

    def averages(self, lists: Lists) -> NDArray[np.float64]:
        """Average bits of weights and of activations, ``[lists, 2]``."""
        inner = self.sizes[:, 1:-1]
        averages: NDArray[np.float64] = (lists[:, :, 1:-1] * inner).sum(-1) / inner.sum(-1)
        return averages

    def kept(self, lists: Lists) -> NDArray[np.bool_]:
        """Whether both averages are in ``(most - 0.5, most]``, ``[lists]``."""
        averages, most = self.averages(lists), np.array(self.most) + 1e-9
        inside: NDArray[np.bool_] = (averages > most - WINDOW) & (averages <= most)
        return inside[:, 0] & inside[:, 1]

    def nudged(self, bits: Lists, rng: Generator) -> Lists:
        """A list ``[2, layers]``, moved bit by bit at random layers until it keeps the budget."""
        bits = bits.copy()
        for _ in range(100_000):
            averages = self.averages(bits[None])[0]
            far = [(row, np.sign(self._inside(row) - averages[row])) for row in (0, 1)]
            wrong = [(row, sign) for row, sign in far if not self._keeps(row, averages[row])]
            if not wrong:
                return bits
            row, sign = wrong[0]
            layer = rng.integers(1, bits.shape[1] - 1)
            bits[row, layer] = np.clip(bits[row, layer] + int(sign), BITS[0], BITS[-1])
        raise ValueError(f"no bit list found with averages just below {self.most}")

    def _inside(self, row: int) -> float:
        return self.most[row] - WINDOW / 2

    def _keeps(self, row: int, average: float) -> bool:
        return self.most[row] + 1e-9 - WINDOW < average <= self.most[row] + 1e-9


class Conditional:
    """Draws bit lists of about a wanted average: each layer's bits by how often random lists of that
    average have them.

    Parameters
    ----------
    sizes : see `Budget`.
    rng : source of chance.
    """

    def __init__(self, sizes: NDArray[np.float64], rng: Generator, lists: int = RANDOM_LISTS) -> None:
        self._rng = rng
        layers = sizes.shape[1]
        self._tables = []
        for size in sizes:
            drawn = rng.integers(BITS[0], BITS[-1] + 1, (lists, layers))
            average = (drawn[:, 1:-1] * size[1:-1]).sum(1) / size[1:-1].sum()
            places, at = np.unique(np.round(average / STEP).astype(int), return_inverse=True)
            table = np.zeros((len(places), layers, len(BITS)))
            for layer in range(layers):
                flat = at * len(BITS) + drawn[:, layer] - BITS[0]
                counts = np.bincount(flat, minlength=len(places) * len(BITS))
                table[:, layer] = counts.reshape(len(places), len(BITS))
            self._tables.append((places * STEP, table / table.sum(-1, keepdims=True)))

    def draw(self, averages: NDArray[np.float64]) -> Lists:
        """A list for each pair of wanted averages ``[lists, 2]``; the nearest that was seen is taken."""
        rows = []
        for wanted, (places, table) in zip(averages.T, self._tables, strict=True):
            chances = table[np.abs(places[:, None] - wanted).argmin(0)].cumsum(-1)
            below = (self._rng.random((*chances.shape[:2], 1)) > chances[..., :-1]).sum(-1)
            rows.append(below + BITS[0])
        return np.stack(rows, axis=1)


def search(
    fitness: Callable[[Lists], NDArray[np.float64]],
    budget: Budget,
    conditional: Conditional,
    rng: Generator,
    *,
    population: int = 100,
    generations: int = 500,
    parents: float = 0.25,
    mutants: float = 0.5,
    mutation: float = 0.1,
) -> Lists:
    """The fittest bit list ``[2, layers]`` that keeps a budget.

    Parameters
    ----------
    fitness : of lists ``[lists, 2, layers]``, higher is better.
    budget : both averages of all lists, the first and the children, keep it.
    conditional : draws the first population.
    rng : source of chance.
    population, generations : lists that are children at a time, and how many times.
    parents : share of the population that has children, and lives on.
    mutants : share of the children that differ from one parent; the others are mixed from two.
    mutation : chance of a layer's bits to be drawn anew.
    """

    def kept(make: Callable[[int], Lists], count: int) -> Lists:
        """So many lists, made anew until they keep the budget."""
        made = make(count)
        for _ in range(PATIENCE):
            wrong = np.flatnonzero(~budget.kept(made))
            if not len(wrong):
                return made
            made[wrong] = make(len(wrong))
        return np.stack([budget.nudged(bits, rng) for bits in made])

    few, changed = max(1, round(parents * population)), round(mutants * population)
    alive = kept(lambda count: conditional.draw(np.tile(budget.most, (count, 1))), population)
    scores = fitness(alive)
    for _ in track(range(generations), "search"):
        best = np.argsort(-scores, kind="stable")[:few]
        parent, parent_scores = alive[best], scores[best]

        def mutated(count: int, parent: Lists = parent) -> Lists:
            chosen = parent[rng.integers(len(parent), size=count)]
            anew = rng.integers(BITS[0], BITS[-1] + 1, chosen.shape)
            return np.where(rng.random(chosen.shape) < mutation, anew, chosen)

        def mixed(count: int, parent: Lists = parent) -> Lists:
            first, second = parent[rng.integers(len(parent), size=(2, count))]
            chosen: Lists = np.where(rng.random(first.shape) < 0.5, first, second)
            return chosen

        children = np.concatenate([kept(mutated, changed), kept(mixed, population - changed)])
        alive = np.concatenate([parent, children])
        scores = np.concatenate([parent_scores, fitness(children)])
    found: Lists = alive[int(np.argmax(scores))]
    return found
