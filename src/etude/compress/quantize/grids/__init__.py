"""Grids: the numbers that a few bits can stand for, and where a scale puts them.

A grid has ``2^bits`` codes, each with a *level*. In a group of weights that share a `Range`, a code
stands for ``scale * (level - zero)``. A grid knows how to fit a range to a group and how to round to
its nearest level; everything else (searches, GPTQ, AWQ, packing) is written once for all grids.
"""

from etude.compress.quantize.grids.base import Grid, Range, decode
from etude.compress.quantize.grids.binary import Binary
from etude.compress.quantize.grids.floats import Floats
from etude.compress.quantize.grids.granularity import Granularity, joined, split, spread
from etude.compress.quantize.grids.integers import Convention, Integers
from etude.compress.quantize.grids.scales import Scales, power_of_two, power_of_two_ratios, stored

__all__ = [
    "Binary",
    "Convention",
    "Floats",
    "Granularity",
    "Grid",
    "Integers",
    "Range",
    "Scales",
    "decode",
    "joined",
    "power_of_two",
    "power_of_two_ratios",
    "split",
    "spread",
    "stored",
]
