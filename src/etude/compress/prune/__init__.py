"""Pruning: methods that remove weights, channels, heads or blocks from a trained model."""

from etude.compress.prune.dense import Dense
from etude.compress.prune.magnitude import Magnitude
from etude.compress.prune.random import Random
from etude.compress.prune.wanda import Wanda

__all__ = [
    "Dense",
    "Magnitude",
    "Random",
    "Wanda",
]
