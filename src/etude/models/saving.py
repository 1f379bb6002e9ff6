"""Write a model so that it comes back exactly: in the stock format wherever that can hold it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from etude.errors import InputError
from etude.files import new_folder
from etude.models import inputs
from etude.models.boundary import quiet
from etude.models.packed.linear import PackedLinear
from etude.models.widths import Widths, expressed, stock


def save(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Write a checkpoint of safetensors, whole or not at all.

    ``from_pretrained`` of transformers loads it. Only where layers have got widths or biases that no
    configuration of the architecture can express, an ``etude.json`` with the widths lies beside the
    weights, and `etude.models.load` is needed to read it; likewise for inputs of layers that are rounded
    (`etude.models.inputs`). Either way the model comes back exactly.

    Parameters
    ----------
    model : a ``PreTrainedModel``, possibly with linear layers resized in place or with added biases.
    tokenizer : its tokenizer, or None.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the folder holds something, or the model differs from its architecture in a way
        that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from etude.models import load
    >>> model, tokenizer = load("nano-llama")
    >>> folder = Path(tempfile.mkdtemp()) / "copy"
    >>> save(model, tokenizer, folder)
    >>> load(folder)[0].num_parameters() == model.num_parameters()
    True
    """
    with quiet(), new_folder(Path(folder).expanduser()) as temporary:
        plain, widths = writable(model)
        plain.save_pretrained(temporary)
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        if widths:
            widths.write(temporary)
        inputs.write(model, temporary)


def writable(model: Any) -> tuple[Any, Widths]:
    """The same tensors in a model that ``save_pretrained`` writes faithfully, and the widths to add.

    Nothing is copied, and ``model`` with its configuration stays as it is.

    Raises
    ------
    InputError : if the model differs from its architecture in a way that cannot be written.
    """
    _check_unpacked(model)
    config = copy.deepcopy(model.config)
    if _is_untied(model):
        config.tie_word_embeddings = False
    widths = Widths.between(model, stock(type(model), config))
    fitting = expressed(model, config)
    config, zeros = fitting or (config, {})
    left = Widths() if fitting else widths
    plain = stock(type(model), config)
    left.apply(plain)
    state = {**model.state_dict(), **zeros}
    _check_explained(state, plain)
    plain.load_state_dict(state, assign=True)
    plain.tie_weights()
    if model.can_generate():
        plain.generation_config = model.generation_config
    return plain, left


def _check_unpacked(model: nn.Module) -> None:
    packed = next((name for name, x in model.named_modules() if isinstance(x, PackedLinear)), None)
    if packed is not None:
        raise InputError(
            "model", f"{packed} is packed; copy the checkpoint it came from, or load it with packed=False"
        )


def _check_explained(state: Mapping[str, Tensor], plain: nn.Module) -> None:
    ours = {name: tuple(tensor.shape) for name, tensor in state.items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in plain.state_dict().items()}
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise InputError(
                "model",
                f"cannot be saved: {name} has shape {ours.get(name)}, its architecture {theirs.get(name)}; "
                "only linear layers may be resized or given a bias",
            )


def _is_untied(model: Any) -> bool:
    """Whether input and output embeddings are two tensors although the configuration ties them."""
    if not getattr(model.config, "tie_word_embeddings", False):
        return False
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    return head is not None and embedding is not None and head.weight is not embedding.weight
