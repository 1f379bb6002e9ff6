"""BiBERT-style binarisation: signs without scales, and attention that is there or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from etude.compress.binarize.attention import Structure
from etude.compress.binarize.encoder import binarise
from etude.compress.binarize.pretraining import check_corpus
from etude.method import method


@method("bibert", task="binarize")
class BiBERT:
    """Make an encoder binary with plain signs and Bi-Attention, and leave the learning to the fine-tuning.

    Activations become -1 and 1; a token attends to another where its binary score is 0 or more, and the
    weights of attention are 1 there, without softmax. Weights are rounded as BiPFT's are. The paper's
    distillation of similarity patterns is left out: this is the baseline without a teacher.

    Raises
    ------
    InputError : if the model is not shaped like BERT, or the corpus does not fit it.

    Examples
    --------
    >>> from etude import data, models
    >>> model, tokenizer = models.load("nano-bert")
    >>> BiBERT().binarize(model, data.calibration("novels", tokenizer, samples=8, length=29), tokenizer)
    >>> model.bert.encoder.layer[0].attention.self.weights is None
    True

    References
    ----------
    Qin et al., "BiBERT: Accurate Fully Binarized BERT", ICLR 2022. arXiv:2203.06390.
    """

    def binarize(self, model: Any, corpus: Mapping[str, Tensor], tokenizer: Any) -> None:
        """Make ``model`` binary in place; the corpus is not read."""
        check_corpus(model, corpus, tokenizer)
        binarise(model, Structure(elastic=False, attention="bool"))
