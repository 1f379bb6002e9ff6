"""Quantisation: methods that store the weights of a trained model in fewer bits."""

from etude.compress.quantize.adaround import AdaRound
from etude.compress.quantize.awq import Awq
from etude.compress.quantize.brecq import Brecq
from etude.compress.quantize.flexround import FlexRound
from etude.compress.quantize.full_precision import FullPrecision
from etude.compress.quantize.gptq import Gptq
from etude.compress.quantize.llm_fp4 import LlmFp4
from etude.compress.quantize.lorc import Lorc
from etude.compress.quantize.lsq import Lsq
from etude.compress.quantize.lsq_plus import LsqPlus
from etude.compress.quantize.rtn import Rtn
from etude.compress.quantize.salient import Salient
from etude.compress.quantize.smoothquant import SmoothQuant
from etude.compress.quantize.stochastic import Stochastic
from etude.compress.quantize.zeroquant import ZeroQuant
from etude.compress.quantize.zeroquant_fp import ZeroQuantFP
from etude.compress.quantize.zq_global import ZqGlobal
from etude.compress.quantize.zq_local import ZqLocal

__all__ = [
    "AdaRound",
    "Awq",
    "Brecq",
    "FlexRound",
    "FullPrecision",
    "Gptq",
    "LlmFp4",
    "Lorc",
    "Lsq",
    "LsqPlus",
    "Rtn",
    "Salient",
    "SmoothQuant",
    "Stochastic",
    "ZeroQuant",
    "ZeroQuantFP",
    "ZqGlobal",
    "ZqLocal",
]
