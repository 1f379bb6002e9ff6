"""What lies in a checkpoint's folder, checked before anything is loaded from it.

Only JSON and safetensors are ever opened. Pickles (``*.bin``, ``*.pt``) can run code when they are
read, so they are refused by name, and so is every file that an index would fetch from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from etude.errors import InputError

CONFIG = "config.json"
WIDTHS = "etude.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CONVERT = (
    'convert it once, where you trust it: python -c "from transformers import {loader} as M; '
    "M.from_pretrained('{folder}').save_pretrained('NEW_FOLDER')\""
)


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's ``config.json``.

    Raises
    ------
    InputError : if there is none, or it is not a JSON object.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError("model", f"{folder} has no {CONFIG}; {_what_it_is(folder)}")
    config = read_json(path)
    if "model_type" not in config:
        raise InputError("model", f"{path} has no 'model_type': it does not describe a transformers model")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's folder, or `InputError` that says where it is malformed."""
    try:
        value = json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise InputError("model", f"{path} is not text: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise InputError("model", f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(value, dict):
        raise InputError("model", f"{path} holds a {type(value).__name__}, not a JSON object")
    return value


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the checkpoint, each checked to be whole.

    Raises
    ------
    InputError : if there are none, they are pickles, a shard is missing or named outside the folder,
        or a file is damaged.
    """
    if (folder / WEIGHTS).is_file():
        files = [folder / WEIGHTS]
    elif (folder / INDEX).is_file():
        files = list(_shards(folder))
    else:
        raise InputError("model", f"{folder} has no {WEIGHTS}; {_what_it_is(folder)}")
    for file in files:
        _check_whole(file)
    return files


def refuse_pickle(path: Path) -> InputError:
    """The error for a file or folder whose weights are a pickle, with the way to convert them."""
    folder = path if path.is_dir() else path.parent
    convert = _CONVERT.format(folder=folder, loader=_auto_class(folder))
    return InputError("model", f"{path} is a pickle, which can run code when read; {convert}")


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of the folder's tokenizer; none if it has no tokenizer."""
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def _shards(folder: Path) -> Iterator[Path]:
    path = folder / INDEX
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError("model", f"{path} has no 'weight_map' of tensor names to files")
    for name in sorted({str(name) for name in weight_map.values()}):
        if _leaves(name):
            raise InputError("model", f"{path} names {name!r}, which is not a file beside it")
        if not name.endswith(".safetensors"):
            raise InputError("model", f"{path} names {name!r}, which is not a safetensors file")
        if not (folder / name).is_file():
            raise InputError("model", f"{folder} lacks {name!r}, which {INDEX} names")
        yield folder / name


def _leaves(name: str) -> bool:
    """Whether a file's name is more than a name, on this or any other system."""
    return any(kind(name).name != name or name in ("", "..") for kind in (PurePosixPath, PureWindowsPath))


def _check_whole(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError("model", f"{file} is damaged or cut off: {error}") from error


def _what_it_is(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    pickles = [name for name in names if name.endswith(PICKLES)]
    ggufs = [name for name in names if name.endswith(".gguf")]
    others = [name for name in names if name.endswith(".safetensors")]
    if "adapter_config.json" in names and _is_packed(folder.parent):
        return (
            f"it holds the products of the quantised model {folder.parent}: load that one, which adds them; "
            "merged into it they would lose its grid"
        )
    if "adapter_config.json" in names:
        return "it holds an adapter: merge it into its model first (peft's merge_and_unload)"
    if pickles:
        return refuse_pickle(folder / pickles[0]).message
    if ggufs:
        return f"it holds GGUF: name the file itself, {folder / ggufs[0]}"
    if others:
        return f"it holds {others[0]}: rename the weights to {WEIGHTS}"
    return "give a folder written by save_pretrained, or a .gguf file"


def _is_packed(folder: Path) -> bool:
    """Whether a folder holds a quantised checkpoint."""
    return (folder / CONFIG).is_file() and bool(read_config(folder).get("quantization_config"))


def _auto_class(folder: Path) -> str:
    """The transformers class that a conversion needs, as far as the config tells."""
    try:
        names = json.loads((folder / CONFIG).read_bytes())["architectures"]
        return str(names[0])
    except (OSError, ValueError, LookupError, TypeError):
        return "AutoModel"
