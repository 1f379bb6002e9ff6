"""EQ-Net: one set of weights for all formats, and the bits of each layer chosen for a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import annotated_types as at
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from etude.compress.quantize_vision import elastic, genetic, predictor
from etude.compress.quantize_vision import training as learning
from etude.compress.quantize_vision.elastic import (
    KINDS,
    Elastic,
    configure,
    elastic_layers,
    search_ranges,
)
from etude.compress.quantize_vision.formats import BITS, Format, Granularity
from etude.compress.quantize_vision.genetic import Budget, Conditional
from etude.compress.quantize_vision.outcome import Outcome
from etude.compress.quantize_vision.predictor import Kind, Lists
from etude.compress.quantize_vision.supernet import Sampler, kurtosis, recalibrate, supernet_backward
from etude.compress.quantize_vision.training import Schedule, Training
from etude.data.images import Images
from etude.method import method
from etude.progress import track

Average = Annotated[float, at.Interval(ge=2.5, le=8)]
HELD_OUT = 0.1
"""Share of the images that sub-networks are measured on, and that training does not see."""


@method("eq-net", task="quantize-vision", paper="eq-net")
class EqNet:
    """Train weights that run in any format, predict what each choice of bits scores, and search the best.

    Each layer has a learned range for every width from 2 to 8 bits, for a tensor and for each channel, with
    and without an offset; only the latent weights are shared. A step trains the largest, a random and the
    smallest sub-network, each guided by the one before it (GPG), and draws the weights towards a uniform
    distribution (WDR). A predictor (CQAP) learns from measured sub-networks, and a genetic search asks it
    for the best bits of each layer under a budget.

    The model stays elastic: `etude.compress.quantize_vision.elastic.configure` sets it to any format, and
    `etude.compress.quantize_vision.extraction.extract` takes one out.

    Parameters
    ----------
    bits, activation_bits : averages that the searched model does not exceed, first and last layer left out;
        2.5 to 8.
    granularity : of its weights: a range for each output "channel", or one for the "tensor".
    symmetric, activation_symmetric : whether its ranges have no offset.
    learning_rate : of Adam, at the start of a cosine to 0.
    kurtosis, skewness : weights of the two parts of the WDR loss; 0 for none.
    guidance : share of the preceding sub-network's predictions in the loss (GPG); 0 for labels alone.
    subnets : sub-networks a step: 3 are the largest, a random one and the smallest.
    tries : ranges tried for each step's start, in hundredths of the extremes.
    measured : sub-networks that the predictor learns from and is tested on, four fifths to one; 0 for no
        predictor and no search: then all layers get the bits of the budget.
    population, generations : of the search.

    Raises
    ------
    InputError : if a field is out of range, the model has too few layers, or the images do not fit.

    Examples
    --------
    >>> from etude.compress.quantize_vision.checks import tiny_training, tiny_transformer
    >>> model = tiny_transformer()
    >>> method = EqNet(bits=3, activation_bits=4, tries=10, measured=20, generations=5)
    >>> outcome = method.quantize(model, tiny_training(epochs=2))
    >>> weights, activations = elastic.average_bits(model)
    >>> 2.5 < weights <= 3, 3.5 < activations <= 4
    (True, True)

    References
    ----------
    Xu et al., "EQ-Net: Elastic Quantization Neural Networks", ICCV 2023. arXiv:2308.07650.
    """

    bits: Average = 3.0
    activation_bits: Average = 3.0
    granularity: Granularity = "channel"
    symmetric: bool = True
    activation_symmetric: bool = True
    learning_rate: Annotated[float, at.Gt(0)] = 1e-3
    kurtosis: Annotated[float, at.Ge(0)] = 0.015
    skewness: Annotated[float, at.Ge(0)] = 1.0
    guidance: Annotated[float, at.Interval(ge=0, le=1)] = 0.5
    subnets: Annotated[int, at.Interval(ge=1, le=8)] = 3
    tries: Annotated[int, at.Interval(ge=1, le=99)] = 80
    measured: Annotated[int, at.Ge(0)] = 1000
    population: Annotated[int, at.Ge(2)] = 100
    generations: Annotated[int, at.Ge(1)] = 500

    @property
    def kind(self) -> Kind:
        """What the searched model has beside its bits."""
        return self.granularity, self.symmetric, self.activation_symmetric

    def check(self, model: Any) -> None:
        """Raise `InputError` if ``model`` has too few layers."""
        elastic.check(model)

    def quantize(self, model: Any, training: Training) -> Outcome:
        """Make ``model`` elastic in place, train it, and set it to the bits that were found."""
        self.check(model)
        learning.check(model, training)
        held_out, rest = divide(training)
        Elastic().apply(model)
        search_ranges(model, rest.calibration(), self.tries)
        self._train(model, rest)
        figures = {"kurtosis": _mean_kurtosis(model)}
        if self.measured:
            lists, found = self._search(model, rest, held_out)
            figures |= found
        else:
            lists = np.full((2, len(elastic_layers(model))), [[int(self.bits)], [int(self.activation_bits)]])
        configure(model, as_formats(lists, self.kind))
        recalibrate(model, rest.calibration())
        return Outcome(Elastic(), figures)

    def _train(self, model: Any, training: Training) -> None:
        draw = torch.Generator().manual_seed(training.seed)
        sampler = Sampler(len(elastic_layers(model)), BITS, KINDS, draw)
        backward = supernet_backward(
            model,
            sampler,
            subnets=self.subnets,
            guidance=self.guidance,
            flat=self.kurtosis,
            even=self.skewness,
        )
        optimizer = torch.optim.Adam(model.parameters())
        rate = Schedule(training.steps, self.learning_rate)
        learning.fit(model, optimizer, training.batches(strong=False), training.steps, backward, rate)

    def _search(self, model: Any, training: Training, held_out: Images) -> tuple[Lists, dict[str, float]]:
        """The bits of each layer, and how well the predictor ranks sub-networks it has not seen."""
        rng = np.random.default_rng(training.seed)
        sizes = _sizes(model)
        conditional = Conditional(sizes, rng)
        lists, kinds = _sample(self.measured, conditional, rng)
        accuracies = torch.tensor(
            [
                _measured(model, as_formats(bits, kind), training, held_out)
                for bits, kind in track(zip(lists, kinds, strict=True), "measuring", len(kinds))
            ]
        )
        x = predictor.features(lists, kinds)
        known = max(1, len(x) * 4 // 5)
        learned = predictor.learn(x[:known], accuracies[:known])
        with torch.no_grad():
            predicted = learned(x[known:])
        figures = {
            "kendall_tau": predictor.kendall(predicted, accuracies[known:]),
            "rmse": 100 * float((predicted - accuracies[known:]).square().mean().sqrt()),
        }

        def fitness(candidates: Lists) -> NDArray[np.float64]:
            with torch.no_grad():
                scored: Tensor = learned(predictor.features(candidates, [self.kind] * len(candidates)))
            return scored.double().numpy()

        found = genetic.search(
            fitness,
            Budget(sizes, (self.bits, self.activation_bits)),
            conditional,
            rng,
            population=self.population,
            generations=self.generations,
        )
        return found, figures


def divide(training: Training) -> tuple[Images, Training]:
    """A part of the images to measure on, and the training on the rest of them."""
    images = training.images
    draw = torch.Generator().manual_seed(training.seed)
    order = torch.randperm(len(images), generator=draw)
    count = max(1, round(HELD_OUT * len(images)))
    rest = order[count:] if len(order) > count else order
    return images.some(order[:count]), replace(training, images=images.some(rest))


def as_formats(lists: Lists, kind: Kind) -> list[Format]:
    """The formats of all layers, given their bits ``[2, layers]``."""
    granularity, symmetric, activation_symmetric = kind
    return [
        Format(
            bits=int(bits),
            activation_bits=int(activation_bits),
            granularity=granularity,
            symmetric=symmetric,
            activation_symmetric=activation_symmetric,
        )
        for bits, activation_bits in lists.T
    ]


def _sample(count: int, conditional: Conditional, rng: np.random.Generator) -> tuple[Lists, list[Kind]]:
    """Sub-networks to measure, of averages between 2.4 and 7.6 bits and of all kinds."""
    lists = conditional.draw(rng.uniform(2.4, 7.6, (count, 2)))
    return lists, [KINDS[index] for index in rng.integers(len(KINDS), size=count)]


def _measured(model: Any, formats: list[Format], training: Training, held_out: Images) -> float:
    """Accuracy of a sub-network on images that training did not see, in [0, 1]."""
    configure(model, formats)
    recalibrate(model, training.calibration())
    return learning.accuracy(model, held_out, training.prepared) / 100


def _sizes(model: Any) -> NDArray[np.float64]:
    """Parameters and activations of each layer, ``[2, layers]``."""
    found = elastic_layers(model)
    weights = [layer.weight.weight.numel() for layer in found]
    return np.array([weights, [int(layer.inputs.elements) for layer in found]], dtype=float)  # type: ignore[arg-type]


def _mean_kurtosis(model: Any) -> float:
    """Of the latent weights of all layers but the first."""
    with torch.no_grad():
        return float(
            torch.stack([kurtosis(layer.weight.weight) for layer in elastic_layers(model)[1:]]).mean()
        )
