"""Pruning: methods that remove weights, channels, heads or blocks from a trained model."""

from etude.compress.prune.d_pruner import DPruner
from etude.compress.prune.dense import Dense
from etude.compress.prune.depth import Depth
from etude.compress.prune.flap import FLAP
from etude.compress.prune.gblm import GBLM
from etude.compress.prune.llm_pruner import LLMPruner
from etude.compress.prune.magnitude import Magnitude
from etude.compress.prune.magnitude_sp import MagnitudeSP
from etude.compress.prune.random import Random
from etude.compress.prune.random_sp import RandomSP
from etude.compress.prune.sparsegpt import SparseGPT
from etude.compress.prune.wanda import Wanda
from etude.compress.prune.wanda_sp import WandaSP

__all__ = [
    "FLAP",
    "GBLM",
    "DPruner",
    "Dense",
    "Depth",
    "LLMPruner",
    "Magnitude",
    "MagnitudeSP",
    "Random",
    "RandomSP",
    "SparseGPT",
    "Wanda",
    "WandaSP",
]
