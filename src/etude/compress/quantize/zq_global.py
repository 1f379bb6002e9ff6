"""ZQ-Global: distil the whole model at once into the same with rounded weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import kl_div, mse_loss

from etude.compress.quantize.activation_format import ActivationFormat
from etude.compress.quantize.quantized import Quantized
from etude.compress.quantize.reconstruction import JUDGED, Rate, shuffled
from etude.compress.quantize.weights import Group, WeightFormat
from etude.compress.quantize.zq_local import Latent
from etude.errors import InputError
from etude.method import method
from etude.models.blocks import Linear, block_linears, chunks, inference, is_transposed, real_tokens
from etude.models.calibration import check_calibration
from etude.progress import track


@method("zq-global", task="quantize", paper="zeroquant-v2", beside=("zq-local", "gptq"))
class ZqGlobal(WeightFormat, ActivationFormat):
    """Distil the whole model at once: train all weights, as they are rounded, to predict what it predicted.

    The loss is the divergence from the model's predictions as it was, and the mean squared error of the
    hidden states in front of and behind every block. Rounding is passed straight through, and ranges follow
    the weights. Takes the memory of four models: the teacher, the weights, and Adam's two moments. One of
    the two distillations that ZeroQuant-V2 compares with rounding and GPTQ.

    Parameters
    ----------
    group : consecutive inputs of a row that share a scale, "channel" for a whole row, "tensor" for all.
    activations : what the inputs of linear layers are rounded to, "int" or a floating-point format; "none"
        leaves them.
    iterations : steps of the optimiser (Adam); 0 to round to nearest.
    batch : calibration segments of a step.
    lr : learning rate; falls to 0 along a cosine. The paper searches it for every model.

    Raises
    ------
    InputError : if a field is out of range, the group does not divide a layer's width, the model predicts
        nothing, or the calibration does not fit it.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = ZqGlobal(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Yao et al., "Exploring Post-training Quantization in LLMs from Comprehensive Study to Low Rank
    Compensation", AAAI 2024. arXiv:2303.08302.
    """

    group: Group = "channel"
    activations: str = "none"
    iterations: Annotated[int, at.Ge(0)] = 500
    batch: Annotated[int, at.Ge(1)] = 2
    lr: Rate = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_activations()

    def quantize(self, model: nn.Module, calibration: Mapping[str, Tensor]) -> dict[str, Quantized]:
        """Quantise ``model`` in place, trained over ``calibration``. Returns what is stored, by layer."""
        self.check(model)
        check_calibration(model, calibration)
        check_predicts(model, calibration)
        teacher = copy.deepcopy(model)
        self.round_inputs(model, calibration)
        layers = block_linears(model)
        latents = [Latent(layer.weight, self) for layer in layers]
        with inference(model), inference(teacher):
            self._train(Student(model, layers, teacher, chunks(calibration, self.batch)), latents)
        with torch.no_grad():
            pairs = zip(layers, latents, strict=True)
            return {layer.name: self.put(layer, latent.quantized()) for layer, latent in pairs}

    def _train(self, student: Student, latents: Sequence[Latent]) -> None:
        """Train the weights; if they come to err more than at the start, they are as they were."""
        parameters = [latent.latent for latent in latents]
        start, lost = [part.detach().clone() for part in parameters], student.lost(latents)
        optimiser = torch.optim.Adam(parameters, lr=self.lr, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, self.iterations))
        batches = shuffled(len(student.batches), self.iterations)
        for index in track(batches, "iterations", total=self.iterations):
            with torch.enable_grad():
                loss = student.loss(index, [latent.weight() for latent in latents])
            for part, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                part.grad = gradient
            optimiser.step()
            schedule.step()
        if not student.lost(latents) <= lost:
            with torch.no_grad():
                for part, before in zip(parameters, start, strict=True):
                    part.copy_(before)


class Student:
    """A model that runs with other weights in its blocks, beside the model that it was.

    Parameters
    ----------
    model : predicts tokens or classes; left as it is.
    layers : its linear layers whose weights are others.
    teacher : the model as it was.
    batches : forward arguments.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[Linear],
        teacher: nn.Module,
        batches: Sequence[Mapping[str, Tensor]],
    ) -> None:
        self.model, self.layers, self.teacher, self.batches = model, layers, teacher, batches

    def loss(self, index: int, weights: Sequence[Tensor]) -> Tensor:
        """How far the model is from its teacher on a batch, with weights ``[out, in]`` of its layers."""
        mask = self.batches[index].get("attention_mask")
        batch: dict[str, Any] = {**self.batches[index], "output_hidden_states": True}
        own = {
            f"{layer.name}.weight": weight.T if is_transposed(layer.module) else weight
            for layer, weight in zip(self.layers, weights, strict=True)
        }
        with torch.no_grad():
            target = self.teacher(**batch)
        return distance(functional_call(self.model, own, (), batch), target, mask)

    @torch.no_grad()
    def lost(self, latents: Sequence[Latent]) -> float:
        """The mean loss over a few batches."""
        weights = [latent.weight() for latent in latents]
        judged = range(0, len(self.batches), -(-len(self.batches) // JUDGED))
        return sum(float(self.loss(index, weights)) for index in judged) / len(judged)


@torch.no_grad()
def check_predicts(model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
    """Raise `InputError` if a model gives hidden states only, or two kinds of them (encoder and decoder)."""
    first: dict[str, Any] = {name: value[:1] for name, value in calibration.items()}
    with inference(model):
        found = model(**first, output_hidden_states=True)
    if getattr(found, "logits", None) is None or getattr(found, "hidden_states", None) is None:
        name = type(model).__name__
        raise InputError("model", f"{name} gives no predictions with hidden states to distil; take zq-local")


def distance(found: Any, target: Any, mask: Tensor | None = None) -> Tensor:
    """Divergence of predictions, averaged over tokens, and squared error of hidden states, averaged.

    Parameters
    ----------
    found, target : what two models of transformers return, with logits and hidden states.
    mask : the attention mask; padding does not count.
    """
    ours, theirs = (real_tokens(each.logits, mask).log_softmax(1) for each in (found, target))
    divergence = kl_div(ours, theirs, reduction="batchmean", log_target=True)
    pairs = zip(found.hidden_states, target.hidden_states, strict=True)
    errors = [mse_loss(real_tokens(one, mask), real_tokens(other, mask)) for one, other in pairs]
    return divergence + torch.stack(errors).mean()
