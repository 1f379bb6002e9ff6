"""OFQ: low-bit vision transformers whose weights do not flip to and fro."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.compress.quantize_vision import training as learning
from etude.compress.quantize_vision.attention import ProductAttention
from etude.compress.quantize_vision.oscillation import OscillationMonitor
from etude.compress.quantize_vision.outcome import Outcome, finish
from etude.compress.quantize_vision.recipe import Lesson, Recipe
from etude.compress.quantize_vision.training import Training
from etude.compress.quantize_vision.transformer import Design, inner_weights
from etude.compress.quantize_vision.weights import Latent, StatsQ
from etude.method import method


@method("ofq", task="quantize-vision", paper="ofq")
class Ofq(Recipe):
    """Train with scales that are statistics, rounded query-key products, and an annealing of the undecided.

    Three parts against weights that oscillate between two codes. **StatsQ**: the scale of a row is twice
    its mean magnitude, not a parameter. **QKR**: not the query and the key weights are rounded but, head by
    head, their product, so that scores depend on one rounding instead of two. **CGA**: in the end every
    weight is held fast whose code is settled, and only those near a threshold are trained.

    In the annealing the query-key product becomes a weight of its own: its settled entries could not be held
    fast through its two factors. (In the authors' code the mask has no effect there.)

    Parameters
    ----------
    reparameterise : round query-key products (QKR).
    query_bias : with that, keep what the query's bias adds to a score; the paper drops it.
    annealing : share of the steps for the annealing, at the floor of the learning rate; 30 of 330 epochs in
        the paper.
    boundary : how near to a threshold, in steps of the grid, a weight must be to be trained then. With 1 all
        are, with 0 none.

    Raises
    ------
    InputError : if a field is out of range, the model is no vision transformer, or the images do not fit.

    Examples
    --------
    >>> from etude.compress.quantize_vision.checks import tiny_training, tiny_transformer
    >>> model = tiny_transformer()
    >>> outcome = Ofq(bits=2).quantize(model, tiny_training(epochs=2))
    >>> weight = model.get_submodule("vit.layers.0.mlp.fc1.weight")()
    >>> sorted(outcome.figures), [len(row.unique()) <= 4 for row in weight[:2]]
    (['oscillating', 'oscillating_at_end'], [True, True])

    References
    ----------
    Liu et al., "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023.
    arXiv:2302.02210.
    """

    reparameterise: bool = True
    query_bias: bool = False
    annealing: Annotated[float, at.Interval(ge=0, lt=1)] = 1 / 11
    boundary: Annotated[float, at.Interval(ge=0, le=1)] = 0.005

    @property
    def design(self) -> Design:
        """What the layers are replaced by."""
        return Design(
            bits=self.bits,
            activation_bits=self.activation_bits,
            weights="statsq",
            share=self.share,
            reparameterise=self.reparameterise,
            query_bias=self.query_bias,
        )

    def quantize(self, model: Any, training: Training) -> Outcome:
        """Train ``model`` in place until its weights are codes; returns how many of them oscillated."""
        lesson = Lesson(self, model, self.design, training)
        last = round(self.annealing * training.steps)
        before = lesson.train(training.steps - last).share()
        after = self._anneal(lesson, last).share() if last else before
        return finish(model, self.design, {"oscillating": before, "oscillating_at_end": after})

    def _anneal(self, lesson: Lesson, steps: int) -> OscillationMonitor:
        """Confidence-guided annealing: only weights that are nearly between two codes move."""
        for module in lesson.model.modules():
            if isinstance(module, ProductAttention):
                module.merge()
        undecided = _Undecided(inner_weights(lesson.model), self.boundary)
        monitor = OscillationMonitor(inner_weights(lesson.model))

        def after() -> None:
            undecided.restore()
            monitor.step()

        learning.fit(
            lesson.model,
            self.optimizer(lesson.model),
            lesson.batches,
            steps,
            lesson.backward,
            rate=lambda step: self.floor,
            before=undecided.mask,
            after=after,
        )
        return monitor


class _Undecided:
    """Holds every weight that is further than ``boundary`` from where its code would change."""

    def __init__(self, weights: list[Latent], boundary: float) -> None:
        self._weights = weights
        self._boundary = boundary
        self._held: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def mask(self) -> None:
        """Before a step: no gradient for weights that are settled, and their values remembered."""
        self._held = []
        for latent in self._weights:
            assert isinstance(latent.grid, StatsQ)
            settled = latent.grid.distance(latent.weight) > self._boundary
            self._held.append((settled, latent.weight.detach().clone()))
            if latent.weight.grad is not None:
                latent.weight.grad.masked_fill_(settled, 0)

    @torch.no_grad()
    def restore(self) -> None:
        """After a step: what momentum and decay did to settled weights is undone."""
        for latent, (settled, value) in zip(self._weights, self._held, strict=True):
            latent.weight.copy_(torch.where(settled, value, latent.weight))
