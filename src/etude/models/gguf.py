"""GGUF files: unpacked once into a float32 checkpoint in the user's cache, or read packed as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.models.boundary import quiet, readable
from etude.models.fingerprint import file_digest
from etude.progress import track

if TYPE_CHECKING:
    from torch import Tensor

    from etude.models.packed.weight import Packed


def converted(path: Path) -> Path:
    """The float32 checkpoint of a GGUF file: found by the file's digest in the cache, or made there.

    Raises
    ------
    InputError : if the file is not GGUF, is damaged, or holds an architecture or a quantisation that
        transformers cannot unpack.
    """
    _check_begins(path)
    folder = cache_folder("gguf", file_digest(path)[:32])
    if not folder.is_dir():
        try:
            with new_folder(folder) as temporary:
                _convert(path, temporary)
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return folder


@dataclass(frozen=True)
class Contents:
    """What a GGUF file holds: configuration, tokenizer, packed layers by name, and all other tensors."""

    config: Any
    tokenizer: Any
    layers: dict[str, Packed]
    state: dict[str, Tensor]


def contents(path: Path) -> Contents:
    """Read a GGUF file of LLaMA's architecture without decoding its integer blocks.

    Blocks of other kinds, and the embeddings, are decoded.

    Raises
    ------
    InputError : if the file is not GGUF, is damaged, or of another architecture.
    """
    from transformers import AutoConfig, AutoTokenizer

    _check_begins(path)
    place = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    with quiet(), readable(path), _read_once():
        import gguf

        reader = gguf.GGUFReader(path)
        kind = reader.fields["general.architecture"].contents()
        if kind != "llama":
            raise InputError(
                "packed", f"{path} is of architecture {kind}; only llama's files are read packed"
            )
        config = AutoConfig.from_pretrained(path.parent, **place)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
        layers, state = _tensors(reader, config)
    return Contents(config, tokenizer, layers, state)


def _tensors(reader: Any, config: Any) -> tuple[dict[str, Packed], dict[str, Tensor]]:
    import gguf
    import torch
    from transformers import LlamaForCausalLM

    from etude.models.packed import gguf_blocks, gguf_file
    from etude.models.widths import stock

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    found = {tensor.name: tensor for tensor in reader.tensors}
    blocks = set(gguf_blocks.TYPES.values())
    layers: dict[str, Packed] = {}
    state: dict[str, Tensor] = {}
    for name, parameter in stock(LlamaForCausalLM, config).state_dict().items():
        tensor = found.get(names.get_name(name, try_suffixes=(".weight", ".bias")))
        if tensor is None:
            continue
        back = torch.argsort(gguf_file.interleaved(name, len(parameter), config))
        if tensor.tensor_type in blocks and ".layers." in name:
            octets = torch.from_numpy(tensor.data.reshape(len(parameter), -1).copy())
            layers[name.removesuffix(".weight")] = gguf_blocks.decode(octets, tensor.tensor_type).taking(back)
        else:
            whole = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
            state[name] = whole.reshape(parameter.shape)[back]
    return layers, state


def _check_begins(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise InputError("model", f"{path} is not a GGUF file: it does not begin with 'GGUF'")


def _convert(path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    with quiet(), readable(path), _read_once():
        model: Any = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **place)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
        # The weights are plain float32 now; transformers would still refuse to save them as "quantised".
        model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
        del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def _read_once() -> Iterator[None]:
    """Let transformers parse the file's header once instead of four times, and on a plain array.

    Without this the conversion of a 135 M model takes about 20 CPU seconds, most of them in creating
    ``numpy.memmap`` slices and in building the same table of tensor names for every submodule.
    """
    import gguf
    import numpy as np
    from transformers import modeling_gguf_pytorch_utils as loader

    class PlainReader(gguf.GGUFReader):
        @property
        def data(self) -> Any:
            return self._data

        @data.setter
        def data(self, mapped: Any) -> None:
            self._data = np.asarray(mapped)

    with ExitStack() as stack:
        for module, name, value in (
            (gguf, "GGUFReader", lru_cache(maxsize=1)(PlainReader)),
            (gguf, "get_tensor_name_map", lru_cache(maxsize=1)(gguf.get_tensor_name_map)),
            (loader, "tqdm", lambda tensors, desc: track(tensors, "unpacking")),
        ):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        yield
