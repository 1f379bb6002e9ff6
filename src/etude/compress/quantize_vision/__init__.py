"""Quantisation of image classifiers: methods that train with rounded weights and activations."""

from etude.compress.quantize_vision.eq_net import EqNet
from etude.compress.quantize_vision.full_precision_vision import FullPrecisionVision
from etude.compress.quantize_vision.lsq_plus_vision import LsqPlusVision
from etude.compress.quantize_vision.lsq_vision import LsqVision
from etude.compress.quantize_vision.minmax_vision import MinmaxVision
from etude.compress.quantize_vision.ofq import Ofq

__all__ = [
    "EqNet",
    "FullPrecisionVision",
    "LsqPlusVision",
    "LsqVision",
    "MinmaxVision",
    "Ofq",
]
