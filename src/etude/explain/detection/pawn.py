"""PAWN: which tokens tell that a machine wrote a text is learnt, from the language model's own states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from etude.errors import InputError
from etude.explain.detection.network import Head, Variant, batch
from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import Scorer, check_labels, check_readings
from etude.method import method
from etude.progress import track

Size = Annotated[int, at.Ge(1)]


@method("pawn", task="detection", paper="pawn")
class Pawn:
    """Weigh features of next-token metrics by gates that see the hidden states, and classify their sum.

    At every position five metrics of the next token (entropy, largest log-probability, the token's own, its
    rank, and the probability of all at least as likely) become ``features`` numbers; gates that see the
    hidden states of the token and of the next, and the position, are made weights by a softmax over the
    whole text, one for each gate. The weighted sum goes to a small classifier. The language model is never
    trained: its readings are made once, and training touches nothing else.

    Trained by binary cross-entropy with smoothed labels, AdamW, a cosine schedule without warm-up and
    gradients clipped at norm 1. Draws from torch's generator.

    Parameters
    ----------
    variant : "pawn"; "sigmoid", gates without softmax; "mean", the metrics alone, all positions alike;
        "hidden", the hidden states alone, all positions alike.
    hidden : width of the networks.
    features : numbers a position.
    gates : of which each weighs ``features / gates`` numbers.
    layers : of each network.
    dropout : inside the networks, in [0, 1).
    token_dropout : share of positions that the gates lose in training, in [0, 1).
    smoothing : of labels, in [0, 1): machine is ``1 - smoothing / 2``, human ``smoothing / 2``.
    positive_weight : of machine texts in the loss; None for as many times as there are human texts for each.
    epochs : over the training texts.
    batch : texts of a step.
    rate : peak learning rate of AdamW.
    decay : weight decay of AdamW.

    Raises
    ------
    InputError : if a field is out of range, ``gates`` does not divide ``features``, or an argument does
        not fit.

    Examples
    --------
    >>> import etude
    >>> from etude.explain.detection.reading import Reader
    >>> reader = Reader(*etude.models.load("nano-llama"))
    >>> readings = reader.read(["The night was dark.", "the the the the", "He went away.", "of of of of"])
    >>> _ = torch.manual_seed(0)
    >>> scorer = Pawn(hidden=16, features=16, gates=4, epochs=60).fit(readings, [0, 1, 0, 1])
    >>> (scorer(readings) > 0).tolist()
    [False, True, False, True]

    References
    ----------
    Miralles-González et al., "Not all tokens are created equal: Perplexity Attention Weighted Networks for
    AI generated text detection", Information Fusion, 2025. arXiv:2501.03940.
    """

    variant: Variant = "pawn"
    hidden: Size = 256
    features: Size = 256
    gates: Size = 256
    layers: Size = 3
    dropout: Annotated[float, at.Interval(ge=0, lt=1)] = 0.0
    token_dropout: Annotated[float, at.Interval(ge=0, lt=1)] = 0.15
    smoothing: Annotated[float, at.Interval(ge=0, lt=1)] = 0.2
    positive_weight: Annotated[float | None, at.Interval(gt=0)] = None
    epochs: Size = 5
    batch: Size = 128
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    decay: Annotated[float, at.Interval(ge=0)] = 0.01

    def __post_init__(self) -> None:
        if self.features % self.gates:
            raise InputError("gates", f"{self.gates} do not divide {self.features} features")

    def fit(self, readings: Sequence[Reading], labels: Any) -> Scorer:
        """Train a head on readings and their labels, 1 for machine and 0 for human."""
        check_readings(readings)
        targets = check_labels(labels, len(readings))
        with torch.enable_grad():
            head = self._head(readings[0].hidden.shape[1]).train()
            self._train(head, readings, targets)
        return Scorer(self, {name: tensor.detach() for name, tensor in head.state_dict().items()})

    def score(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Tensor:
        """Logits of machine, ``[readings]``."""
        head = self.restored(tensors, readings)
        with torch.no_grad():
            parts = [readings[at : at + self.batch] for at in range(0, len(readings), self.batch)]
            return torch.cat([head(batch(part)) for part in parts])

    def token_weights(self, tensors: Mapping[str, Tensor], reading: Reading) -> Tensor:
        """What each position counts, averaged over gates, ``[n - 1]``; position i is about token i + 1."""
        with torch.no_grad():
            weights: Tensor = self.restored(tensors, [reading]).weights(batch([reading]))[0].mean(1)
            return weights

    def restored(self, tensors: Mapping[str, Tensor], readings: Sequence[Reading]) -> Head:
        """The trained head, in evaluation mode.

        Raises
        ------
        InputError : if it was trained on readings of a model of another width.
        """
        head = self._head(readings[0].hidden.shape[1]).eval()
        wanted = {name: tensor.shape for name, tensor in head.state_dict().items()}
        if wanted != {name: tensor.shape for name, tensor in tensors.items()}:
            raise InputError("readings", "are of another model than the one that the detector was trained on")
        head.load_state_dict(dict(tensors))
        return head

    def _head(self, width: int) -> Head:
        return Head(
            width,
            hidden=self.hidden,
            features=self.features,
            gates=self.gates,
            layers=self.layers,
            dropout=self.dropout,
            token_dropout=self.token_dropout,
            variant=self.variant,
        )

    def _train(self, head: Head, readings: Sequence[Reading], targets: Tensor) -> None:
        machine = float(targets.sum())
        weight = self.positive_weight or (len(targets) - machine) / machine
        smooth = targets * (1 - self.smoothing) + 0.5 * self.smoothing
        optimizer = torch.optim.AdamW(head.parameters(), lr=self.rate, weight_decay=self.decay)
        steps = self.epochs * -(-len(readings) // self.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in track(range(self.epochs), "training"):
            for part in torch.split(torch.randperm(len(readings)), self.batch):
                logits = head(batch([readings[i] for i in part.tolist()]))
                loss = binary_cross_entropy_with_logits(logits, smooth[part], pos_weight=torch.tensor(weight))
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
                optimizer.step()
                schedule.step()
