"""Attribution: which tokens of a prompt led a language model to its next token."""

from etude.explain.attribution.attention_last import AttentionLast
from etude.explain.attribution.attention_rollout import AttentionRollout
from etude.explain.attribution.attribution import Attribution, Explanation
from etude.explain.attribution.explaining import explain
from etude.explain.attribution.input_x_gradient import InputXGradient
from etude.explain.attribution.integrated_gradients import IntegratedGradients
from etude.explain.attribution.lime import Lime
from etude.explain.attribution.occlusion import Occlusion
from etude.explain.attribution.random_scores import RandomScores
from etude.explain.attribution.reagent import ReAGent

__all__ = [
    "AttentionLast",
    "AttentionRollout",
    "Attribution",
    "Explanation",
    "InputXGradient",
    "IntegratedGradients",
    "Lime",
    "Occlusion",
    "RandomScores",
    "ReAGent",
    "explain",
]
