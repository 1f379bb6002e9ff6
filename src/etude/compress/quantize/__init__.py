"""Quantisation: methods that store the weights of a trained model in fewer bits."""

from etude.compress.quantize.awq import Awq
from etude.compress.quantize.full_precision import FullPrecision
from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.lorc import Lorc
from etude.compress.quantize.rtn import Rtn

__all__ = [
    "Awq",
    "FullPrecision",
    "Gptq",
    "Lorc",
    "Rtn",
]
