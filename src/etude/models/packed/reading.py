"""Open a checkpoint of packed weights: its linear layers stay packed, or are decoded if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from etude.errors import InputError
from etude.models.blocks import is_transposed, linears
from etude.models.inputs import InputRounding
from etude.models.packed.kernels import chosen
from etude.models.packed.layouts import LAYOUTS, Layout
from etude.models.packed.linear import PackedLinear, put
from etude.models.packed.weight import Packed


def layout_of(configuration: Mapping[str, Any]) -> Layout:
    """The layout of a checkpoint by its ``quantization_config``.

    Raises
    ------
    InputError : if it is not one that Etude reads.
    """
    name = str(configuration.get("quant_method"))
    if name not in LAYOUTS:
        raise InputError("model", f"its weights are quantised by {name!r}; read are {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


@dataclass(frozen=True)
class Packing:
    """The packed layers of a model that is being loaded.

    Attributes
    ----------
    layers : packed weights by dotted name.
    biases : of the layers that have one, float32 ``[out]``.
    kernel : as for `etude.models.packed.kernels.chosen`.
    roundings : of what enters the layers, as far as the layout says; see `etude.models.inputs`.
    """

    layers: Mapping[str, Packed]
    biases: Mapping[str, Tensor]
    kernel: str = "auto"
    roundings: Mapping[str, InputRounding] = field(default_factory=dict)

    @classmethod
    def taken(
        cls,
        layers: Mapping[str, Packed],
        state: dict[str, Tensor],
        kernel: str,
        roundings: Mapping[str, InputRounding] | None = None,
    ) -> Packing:
        """The packing of these layers, with their biases taken out of ``state``."""
        named = {name: f"{name}.bias" for name in layers if f"{name}.bias" in state}
        biases = {name: state.pop(key).float() for name, key in named.items()}
        return cls(layers, biases, kernel, roundings or {})

    def emptied(self, model_class: Any) -> Any:
        """A subclass whose instances lack the packed layers, for ``from_pretrained`` to fill the rest."""
        packing = self

        class Emptied(model_class):  # type: ignore[misc]
            def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
                super().__init__(config, *args, **kwargs)
                packing.check(self)
                for name in packing.layers:
                    put(self, name, nn.Identity())

        Emptied.__name__ = model_class.__name__
        return Emptied

    def decode(self, state: dict[str, Tensor], model_class: Any, config: Any) -> None:
        """Put the decoded weights among a checkpoint's tensors, for a model to be loaded from them."""
        from etude.models.widths import stock

        model = stock(model_class, config)
        self.check(model)
        layers = linears(model)
        for name, weight in self.layers.items():
            whole = weight.weight()
            state[f"{name}.weight"] = whole.T.contiguous() if is_transposed(layers[name]) else whole
        state |= {f"{name}.bias": bias for name, bias in self.biases.items()}

    def check(self, model: nn.Module) -> None:
        """Raise `InputError` if a layer is not in the model, or has another shape or bias there."""
        known, kind = linears(model), type(model).__name__
        for name, weight in self.layers.items():
            if name not in known:
                raise InputError("model", f"its packed layer {name} is no linear layer of {kind}")
            shape = _shape(known[name])
            if weight.shape != shape:
                raise InputError("model", f"its packed layer {name} is {weight.shape}, not {shape}")
            if not bool(weight.scale.float().isfinite().all()):
                raise InputError("model", f"its packed layer {name} has scales that are not finite")
            if (known[name].bias is not None) != (name in self.biases):
                raise InputError("model", f"its packed layer {name} has a bias too many or too few")

    def fill(self, model: nn.Module) -> None:
        """Put the packed layers into a model that was `emptied`."""
        for name, weight in self.layers.items():
            put(model, name, PackedLinear(weight, self.biases.get(name), chosen(weight, self.kernel)))


def _shape(module: nn.Module) -> tuple[int, int]:
    from etude.models.widths import Layer

    layer = Layer.of(module)
    return layer.out_features, layer.in_features
