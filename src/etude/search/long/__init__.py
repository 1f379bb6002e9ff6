"""Long documents: encoders that read more than they were made for."""

from etude.search.long.encoder import LongEncoder, load_long
from etude.search.long.extension import Extension
from etude.search.long.grouped_positions import GroupedPositions
from etude.search.long.late_chunking import LateChunking
from etude.search.long.max_passage import MaxPassage
from etude.search.long.ntk import NTK
from etude.search.long.parallel_windows import ParallelWindows
from etude.search.long.position_interpolation import PositionInterpolation
from etude.search.long.position_tuning import PositionTuning
from etude.search.long.recurrent_positions import RecurrentPositions
from etude.search.long.self_extend import SelfExtend
from etude.search.long.truncation import Truncation

__all__ = [
    "NTK",
    "Extension",
    "GroupedPositions",
    "LateChunking",
    "LongEncoder",
    "MaxPassage",
    "ParallelWindows",
    "PositionInterpolation",
    "PositionTuning",
    "RecurrentPositions",
    "SelfExtend",
    "Truncation",
    "load_long",
]
