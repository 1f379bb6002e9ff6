"""Late interaction: texts as a vector for each token, scored by their best matches."""

from __future__ import annotations

from etude.search.late.colbert_loss import ColBERTLoss
from etude.search.late.encoder import TokenEncoder
from etude.search.late.scoring import maxsim, xtr_scores
from etude.search.late.untrained_tokens import UntrainedTokens
from etude.search.late.xtr_loss import XTRLoss

__all__ = ["ColBERTLoss", "TokenEncoder", "UntrainedTokens", "XTRLoss", "maxsim", "xtr_scores"]
