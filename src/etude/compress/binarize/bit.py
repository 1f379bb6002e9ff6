"""BiT-style binarisation: no pre-training, one bit from the first step of fine-tuning on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from etude.compress.binarize.attention import Structure
from etude.compress.binarize.encoder import binarise, forward_arguments
from etude.compress.binarize.pretraining import batches, check_corpus, seeded_generator
from etude.method import method

BATCH = 32


@method("bit", task="binarize")
class BiT:
    """Make an encoder binary with elastic scales, and leave the learning to the fine-tuning.

    The same encoder as BiPFT's without estimators, straight from the weights in full precision; only the
    scales of activations are set, from one batch of the corpus. BiT's distillation in several stages is
    left out: this is the baseline without a teacher.

    Raises
    ------
    InputError : if the model is not shaped like BERT, or the corpus does not fit it.

    Examples
    --------
    >>> from etude import data, models
    >>> model, tokenizer = models.load("nano-bert")
    >>> BiT().binarize(model, data.calibration("novels", tokenizer, samples=8, length=29), tokenizer)
    >>> bool(model.bert.encoder.layer[0].attention.self.keys.scale > 0)
    True

    References
    ----------
    Liu et al., "BiT: Robustly Binarized Multi-distilled Transformer", NeurIPS 2022. arXiv:2205.13016.
    """

    def binarize(self, model: Any, corpus: Mapping[str, Tensor], tokenizer: Any) -> None:
        """Make ``model`` binary in place; the first segments of the corpus set its scales."""
        check_corpus(model, corpus, tokenizer)
        binarise(model, Structure())
        batch = next(batches(corpus, tokenizer, seeded_generator(), size=BATCH, steps=1))
        with torch.no_grad():
            model.eval()(**forward_arguments(batch))
