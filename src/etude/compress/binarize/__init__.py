"""Binarisation: methods that make an encoder of one bit a weight and one bit an activation."""

from etude.compress.binarize.bibert import BiBERT
from etude.compress.binarize.bipft import BiPFT
from etude.compress.binarize.bit import BiT
from etude.compress.binarize.full_precision import FullPrecisionEncoder

__all__ = [
    "BiBERT",
    "BiPFT",
    "BiT",
    "FullPrecisionEncoder",
]
