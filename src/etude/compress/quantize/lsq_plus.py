"""LSQ+: LSQ from a start that outliers do not pull, with activations that need not be centred."""

from __future__ import annotations

import torch

from etude.compress.quantize.grids import split
from etude.compress.quantize.lsq import LearnedSteps, Lsq
from etude.method import method
from etude.models.blocks import Linear


@method("lsq-plus", task="quantize")
class LsqPlus(Lsq):
    """LSQ from a start that outliers do not pull: three standard deviations on either side of the mean.

    The first step of a group is ``max(|mean - 3 std|, |mean + 3 std|) / 2^(bits-1)``.

    Raises
    ------
    InputError : if a field is out of range, ranges are not symmetric, the group does not divide a layer's
        width, or the calibration does not fit the model.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> calibration = etude.data.calibration("novels", tokenizer, samples=8, length=128)
    >>> stored = LsqPlus(bits=3, iterations=4).quantize(model, calibration)
    >>> stored["model.layers.0.mlp.up_proj"].codes.max()
    tensor(7, dtype=torch.uint8)

    References
    ----------
    Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better
    initialization", CVPR Workshops 2020. arXiv:2004.09576.
    """

    def rounding(self, layer: Linear) -> LearnedSteps:
        """A layer's weight and steps."""
        groups = split(layer.weight, self.group)
        mean, deviation = groups.mean(-1, keepdim=True), groups.std(-1, keepdim=True, correction=0)
        widest = torch.maximum((mean - 3 * deviation).abs(), (mean + 3 * deviation).abs())
        return LearnedSteps(layer.weight, self.grid, self.group, widest / 2 ** (self.bits - 1))
