"""BiPFT: pre-train in one bit, and estimate what the bit loses."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.compress.binarize.attention import Structure
from etude.compress.binarize.encoder import adapt, binarise
from etude.compress.binarize.pretraining import (
    batches,
    check_corpus,
    optimise,
    pretraining_loss,
    seeded_generator,
)
from etude.method import method
from etude.progress import track


@method("bipft", task="binarize", paper="bipft", beside=("bit",))
class BiPFT:
    """Pre-train a masked language model with weights and activations of one bit each.

    The encoder becomes binary at once: weights ``mean|W| sign(W - mean W)``, activations
    ``scale sign(x + shift)`` with scales and shifts that are learned, attention on binary queries, keys,
    values and weights. It is then pre-trained beside the model that it came from: masked tokens, pairs of
    passages, and the teacher's hidden states. Low-rank maps of the block's input in full precision make
    up for what binary scores and values lack (see `Estimators`); with ``rank=0``, BiPFT-A, there are none.
    What comes out is fine-tuned on a task as any encoder is, without a teacher.

    Parameters
    ----------
    rank : of the estimators; 0 for none. The authors pre-train with 1.
    steps : of pre-training; the authors take 500,000.
    batch : pairs of passages in a step; the authors take 512.
    learning_rate : of AdamW at its peak; small models take and need more than the authors' 2e-4.
    warm_up : share of the steps in which the rate rises; it falls to 0 in the others.
    teacher : learn from the hidden states and pairs of the model in full precision as well.
    adapters : rank of maps in full precision beside queries, keys, values and outputs of attention, which are
        put in after pre-training and learn in fine-tuning; 0 for none, as in the authors' script.

    Raises
    ------
    InputError : if a field is out of range, the model is not shaped like BERT, or the corpus does not
        fit it.

    Examples
    --------
    >>> from etude import data, models
    >>> model, tokenizer = models.load("nano-bert")
    >>> corpus = data.calibration("novels", tokenizer, samples=8, length=29)
    >>> BiPFT(steps=2, batch=4).binarize(model, corpus, tokenizer)
    >>> from etude.compress.binarize.signs import binary_weight
    >>> binary_weight(model.bert.encoder.layer[0].output.dense.weight).unique().numel()
    2

    References
    ----------
    Xing et al., "BiPFT: Binary Pre-trained Foundation Transformer with Low-rank Estimation of
    Binarization Residual Polynomials", AAAI 2024. arXiv:2312.08937.
    """

    rank: Annotated[int, at.Ge(0)] = 1
    steps: Annotated[int, at.Ge(1)] = 1000
    batch: Annotated[int, at.Ge(1)] = 32
    learning_rate: Annotated[float, at.Gt(0)] = 2e-4
    warm_up: Annotated[float, at.Interval(ge=0, lt=1)] = 0.01
    teacher: bool = True
    adapters: Annotated[int, at.Ge(0)] = 0

    def binarize(self, model: Any, corpus: Mapping[str, Tensor], tokenizer: Any) -> None:
        """Make ``model`` binary in place and pre-train it on plain segments of the corpus."""
        check_corpus(model, corpus, tokenizer)
        teacher = copy.deepcopy(model).eval() if self.teacher else None
        draw = seeded_generator()  # before estimators draw their weights: the same batches for any rank
        binarise(model, Structure(rank=self.rank))
        drawn = batches(corpus, tokenizer, draw, size=self.batch, steps=self.steps)

        def losses() -> Iterator[Tensor]:
            for batch in track(drawn, "binary pre-training", total=self.steps):
                yield pretraining_loss(model, batch, teacher)

        with torch.enable_grad():
            model.train()
            rising = int(self.warm_up * self.steps)
            optimise(model, losses(), learning_rate=self.learning_rate, steps=self.steps, warm_up=rising)
        if self.adapters:
            adapt(model, self.adapters)
        model.eval()
