"""A quantised classifier in a folder: safetensors, and in ``config.json`` what its layers were replaced by.

No public layout holds half-integer grids, rounded query-key products or ranges for every format, so this one
is Etude's own. Beside the configuration of the model in full precision, ``config.json`` has a
``quantization_config``::

    {"quant_method": "etude-vision", "plan": "Elastic", "settings": {}, "formats": ["w3a3-channel-sym", ...]}

``formats`` are those that the layers of an elastic model are set to. ``model.safetensors`` holds the tensors
by name. A weight that is no longer trained is ``words`` (its codes as a stream of bits, rows filled up to
32), ``step`` and ``base``: ``step * code + base``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from etude.compress.quantize_vision.elastic import Elastic, configure, elastic_layers
from etude.compress.quantize_vision.extraction import Fixed
from etude.compress.quantize_vision.formats import Format
from etude.compress.quantize_vision.outcome import Outcome
from etude.compress.quantize_vision.transformer import Design
from etude.compress.quantize_vision.weights import freeze
from etude.errors import InputError
from etude.files import new_folder
from etude.models import checkpoint
from etude.models.images import Preprocessing

METHOD = "etude-vision"
PLANS: dict[str, type[Any]] = {plan.__name__: plan for plan in (Design, Elastic, Fixed)}


def save(model: Any, outcome: Outcome, prepared: Preprocessing | None, folder: str | Path) -> None:
    """Write a model that was quantised, whole or not at all.

    Parameters
    ----------
    model : as the method left it.
    outcome : what the method returned.
    prepared : written beside it if given.
    folder : a new or an empty folder.

    Raises
    ------
    InputError : if the folder holds something.
    """
    from safetensors.torch import save_file

    values = model.config.to_dict() | {"architectures": [type(model).__name__]}
    values["quantization_config"] = {
        "quant_method": METHOD,
        "plan": type(outcome.plan).__name__,
        "settings": dataclasses.asdict(outcome.plan),
        "formats": [layer.weight.format.name for layer in elastic_layers(model)],
    }
    with new_folder(Path(folder)) as temporary:
        (temporary / checkpoint.CONFIG).write_text(json.dumps(values, indent=2, default=str) + "\n")
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, temporary / checkpoint.WEIGHTS, metadata={"format": "pt"})
        if prepared is not None:
            prepared.write(temporary)


def load(folder: str | Path) -> tuple[Any, Outcome]:
    """Read a model that `save` wrote; it computes what it computed.

    Raises
    ------
    InputError : if the folder holds no such model, or it is damaged.
    """
    import transformers
    from safetensors.torch import load_file

    folder = Path(folder)
    path = folder / checkpoint.CONFIG
    if not path.is_file():
        raise InputError("model", f"{folder} has no {checkpoint.CONFIG}")
    values = checkpoint.read_json(path)
    how = values.pop("quantization_config", {})
    if how.get("quant_method") != METHOD or how.get("plan") not in PLANS:
        raise InputError("model", f"{path} describes no model of this layout ({METHOD})")
    architecture = getattr(transformers, str(values.get("architectures", [""])[0]), None)
    if not (isinstance(architecture, type) and issubclass(architecture, transformers.PreTrainedModel)):
        raise InputError("model", f"{path}: transformers has no architecture {values.get('architectures')}")
    try:
        plan = PLANS[how["plan"]](**how["settings"])
        model: Any = architecture(architecture.config_class.from_dict(values))  # type: ignore[union-attr]
        plan.apply(model)
        if isinstance(plan, Design):
            freeze(model)
        model.load_state_dict(load_file(checkpoint.weight_files(folder)[0]))
        if isinstance(plan, Elastic):
            configure(model, [Format.named(name) for name in how["formats"]])
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError("model", f"{folder} is damaged: {error}") from error
    return model.eval(), Outcome(plan)
