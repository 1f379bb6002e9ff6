"""Write a model with packed weights as a checkpoint in a layout that others define."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from etude.errors import InputError
from etude.files import new_folder
from etude.models import checkpoint, inputs
from etude.models.packed import adapter, native
from etude.models.packed.layouts import Layout
from etude.models.packed.weight import Packed, Scheme
from etude.models.saving import writable


def write(
    model: Any,
    tokenizer: Any,
    layers: Mapping[str, tuple[Packed, Scheme]],
    layout: Layout,
    folder: Path,
) -> None:
    """Write a checkpoint of safetensors, whole or not at all.

    Low-rank products lie in Etude's own layout beside the codes; in others in ``adapter``, as a LoRA
    adapter for the decoded base.

    Parameters
    ----------
    model : a ``PreTrainedModel``; what is not in ``layers`` is written as it is.
    tokenizer : its tokenizer, or None.
    layers : the weights of linear layers, by dotted name; not empty.
    layout : one of `etude.models.packed.layouts.LAYOUTS`.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the folder holds something, or the layout cannot hold the layers.
    """
    from safetensors.torch import save_file

    plain, widths = writable(model)
    tied = set(getattr(plain, "_tied_weights_keys", None) or ()) if _is_tied(plain) else set()
    tensors = {
        name: value.contiguous()
        for name, value in plain.state_dict().items()
        if name not in tied and name.removesuffix(".weight") not in layers
    }
    schemes = {name: scheme for name, (_, scheme) in layers.items()}
    left = [name for name, x in model.named_modules() if isinstance(x, nn.Linear) and name not in layers]
    for name, (weight, scheme) in layers.items():
        refusal = layout.refusal(scheme, weight.shape)
        if refusal is not None:
            raise InputError("format", f"{layout.NAME} {refusal}")
        tensors |= {f"{name}.{part}": value for part, value in layout.encode(weight, scheme).items()}
    settings = {"quantization_config": layout.configuration(schemes, left)}
    config = plain.config.to_dict() | settings | {"architectures": [type(model).__name__]}
    products = {name: weight.low_rank for name, (weight, _) in layers.items() if weight.low_rank is not None}
    with new_folder(folder) as temporary:
        (temporary / checkpoint.CONFIG).write_text(json.dumps(config, indent=2, default=str) + "\n")
        save_file(tensors, temporary / checkpoint.WEIGHTS, metadata={"format": "pt"})
        if model.can_generate():
            model.generation_config.save_pretrained(temporary)
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        if widths:
            widths.write(temporary)
        inputs.write(model, temporary)
        if products and layout.NAME != native.NAME:
            adapter.write(products, temporary / adapter.FOLDER)


def _is_tied(model: Any) -> bool:
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight is embedding.weight
