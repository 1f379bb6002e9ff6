"""Generation: continuing texts with a language model, and choosing among many ways to go on."""

from etude.search.generate.best_of import BestOfN
from etude.search.generate.generator import Generator, Sampling, load_generator
from etude.search.generate.greedy import Greedy
from etude.search.generate.nucleus import Nucleus
from etude.search.generate.rankgen import RankGen
from etude.search.generate.top_k import TopK
from etude.search.generate.typical import Typical

__all__ = [
    "BestOfN",
    "Generator",
    "Greedy",
    "Nucleus",
    "RankGen",
    "Sampling",
    "TopK",
    "Typical",
    "load_generator",
]
