"""Texts to token vectors: a transformer's last states, perhaps through a projection, at unit length."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from etude.errors import InputError
from etude.files import new_folder
from etude.models.boundary import quiet
from etude.progress import track
from etude.search.late.tokens import Tokens

Kind = Literal["query", "document"]

BATCH = 8192
"""Tokens, padding included, that go through the model at once."""

_DENSE, _MASK, _NORMALIZE = "1_Dense", "2_MultiVectorMask", "3_Normalize"
_MODULES = {
    "": "base.modules.transformer.Transformer",
    _DENSE: "base.modules.dense.Dense",
    _MASK: "multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    _NORMALIZE: "base.modules.normalize.Normalize",
}
"""Folders and classes of the modules that sentence-transformers chains."""
_TOKENS = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


class TokenEncoder(nn.Module):
    """Turns texts into a vector of unit length for each token, those at either end of a text included.

    Parameters
    ----------
    model : of transformers; the last hidden states of the encoder in it are taken.
    tokenizer : of that model.
    projection : a linear layer without bias from the states to the vectors; None for the states themselves.
    query_length, document_length : tokens that are read of a text; what the model cannot hold is cut too.

    Examples
    --------
    >>> encoder = TokenEncoder.load("nano-bert", width=16)
    >>> tokens = encoder.encode(["a dark night", "rain"], "query")
    >>> tokens.vectors.shape[1], bool((tokens.vectors.norm(dim=1) - 1).abs().max() < 1e-6)
    (16, True)
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        projection: nn.Linear | None = None,
        *,
        query_length: int = 64,
        document_length: int = 512,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.projection = model, tokenizer, projection
        longest = min(getattr(model.config, "max_position_embeddings", 1 << 30), tokenizer.model_max_length)
        self.lengths: dict[Kind, int] = {
            "query": min(query_length, longest),
            "document": min(document_length, longest),
        }

    @classmethod
    def load(cls, name_or_path: str | Path, width: int | None = None, **lengths: int) -> TokenEncoder:
        """From a model's name or folder, or from what `save` or sentence-transformers wrote.

        Parameters
        ----------
        name_or_path : as for `etude.models.load`, or a folder of a ``MultiVectorEncoder``.
        width : of a new projection with orthonormal rows, drawn from torch's generator, which needs training;
            None for the projection that the folder has, or none.
        lengths : ``query_length``, ``document_length``.

        Raises
        ------
        InputError : naming ``encoder`` if there is no such model, it has no tokenizer, or its folder holds
            modules that are not read.
        """
        from etude.models.loading import load, locate

        try:
            model, tokenizer = load(name_or_path)
            folder = locate(name_or_path)
        except InputError as error:
            raise InputError("encoder", error.message) from error
        if tokenizer is None:
            raise InputError("encoder", f"{name_or_path} has no tokenizer, and so reads no text")
        projection = _read_projection(folder) if width is None else _new_projection(model, width)
        return cls(model, tokenizer, projection, **(_read_lengths(folder) | lengths)).eval()

    def copied(self) -> TokenEncoder:
        """Another one with the same transformer and a copy of the projection."""
        lengths = {f"{kind}_length": length for kind, length in self.lengths.items()}
        return TokenEncoder(self.model, self.tokenizer, copy.deepcopy(self.projection), **lengths).eval()

    @property
    def width(self) -> int:
        """Numbers of a token vector."""
        size: int = self.model.config.hidden_size
        return size if self.projection is None else self.projection.out_features

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all weights and lengths: equal encoders, equal fingerprints."""
        total = hashlib.sha256(json.dumps(self.lengths).encode())
        for name, tensor in self.state_dict().items():
            total.update(name.encode())
            total.update(tensor.contiguous().numpy().data)
        return total.hexdigest()

    def encode(self, texts: Sequence[str], kind: Kind) -> Tokens:
        """The vectors of the texts' tokens; padding leaves no trace."""
        states = self.states(texts, kind)
        with torch.no_grad():
            return Tokens(self.project(states.vectors), states.lengths)

    def project(self, states: Tensor) -> Tensor:
        """Last hidden states ``[..., hidden]`` to vectors of unit length ``[..., width]``."""
        return normalize(states if self.projection is None else self.projection(states), dim=-1)

    def states(self, texts: Sequence[str], kind: Kind) -> Tokens:
        """The model's last hidden states of the texts' tokens, without gradients."""
        rows = self.ids(texts, kind)
        order = sorted((i for i, row in enumerate(rows) if row), key=lambda i: -len(rows[i]))
        none = torch.empty(0, self.model.config.hidden_size)
        found = [none] * len(rows)
        with torch.no_grad():
            for part in track(_batches(order, [len(row) for row in rows]), f"encoding {kind}s"):
                states = self.forward([rows[i] for i in part])
                for i, own in zip(part, states, strict=True):
                    found[i] = own[: len(rows[i])].clone()
        return Tokens.of([*found, none]).take(torch.arange(len(rows)))

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Last hidden states of token ids, padded on the right, ``[texts, longest, hidden]``."""
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.full(mask.shape, self.tokenizer.pad_token_id or 0)
        ids[mask] = torch.tensor([token for row in rows for token in row])
        states: Tensor = self.model.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states

    def ids(self, texts: Sequence[str], kind: Kind) -> list[list[int]]:
        """Token ids of each text, cut to the length of its kind."""
        if not texts:
            return []
        rows: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=self.lengths[kind], return_attention_mask=False
        )["input_ids"]
        return rows

    def words(self, text: str, kind: Kind) -> list[str]:
        """The tokens of a text as one reads them, one for each vector."""
        words: list[str] = self.tokenizer.convert_ids_to_tokens(self.ids([text], kind)[0])
        return words

    def save(self, folder: Path) -> None:
        """Write a folder that `load` reads, and so does ``sentence_transformers.MultiVectorEncoder``.

        Raises
        ------
        InputError : naming ``folder`` if it exists and holds something.
        """
        with new_folder(folder) as target:
            write_encoder(self, target)


def write_encoder(encoder: TokenEncoder, folder: Path) -> None:
    """Write an encoder into a folder that exists."""
    from safetensors.torch import save_file

    with quiet():
        encoder.model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
    names = [name for name in _MODULES if name != _DENSE or encoder.projection is not None]
    modules = [
        {"idx": i, "name": str(i), "path": name, "type": f"sentence_transformers.{_MODULES[name]}"}
        for i, name in enumerate(names)
    ]
    _write(folder / "modules.json", modules)
    _write(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "MultiVectorEncoder",
            "prompts": {"query": "", "document": ""},
            "similarity_fn_name": "maxsim",
        },
    )
    reads = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    lengths = {f"{kind}_length": length for kind, length in encoder.lengths.items()}
    _write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": reads,
            "module_output_name": "token_embeddings",
        }
        | lengths,
    )
    _write(folder / _MASK / "config.json", {"skiplist_words": [], "skiplist_tasks": ["document"]})
    _write(folder / _NORMALIZE / "config.json", _TOKENS)
    if encoder.projection is not None:
        layer = encoder.projection
        shape = {"in_features": layer.in_features, "out_features": layer.out_features, "bias": False}
        activation = {"activation_function": "torch.nn.modules.linear.Identity"}
        _write(folder / _DENSE / "config.json", shape | activation | _TOKENS)
        save_file(
            {"linear.weight": layer.weight.detach().contiguous()}, folder / _DENSE / "model.safetensors"
        )


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_projection(folder: Path) -> nn.Linear | None:
    """The projection of a ``MultiVectorEncoder``; None for a folder that has none."""
    from safetensors.torch import load_file

    if not (folder / "modules.json").is_file():
        return None
    names = [module["type"].rpartition(".")[2] for module in _read(folder / "modules.json")]
    if "MultiVectorMask" not in names:
        return None  # a model of single vectors: its states are taken before they are pooled
    known = [name.rpartition(".")[2] for name in _MODULES.values()]
    if names != [name for name in known if name != "Dense" or name in names]:
        raise InputError(
            "encoder", f"{folder} chains {', '.join(names)}; only {', '.join(known)} in this order are read"
        )
    if "Dense" not in names:
        return None
    place = folder / _read(folder / "modules.json")[1]["path"]
    shape, tensors = _read(place / "config.json"), load_file(place / "model.safetensors")
    if set(tensors) != {"linear.weight"} or not shape["activation_function"].endswith("Identity"):
        raise InputError("encoder", f"{place} is not a linear layer without bias and activation")
    return _linear(tensors["linear.weight"].float())


def _read_lengths(folder: Path) -> dict[str, int]:
    path = folder / "sentence_bert_config.json"
    found = _read(path) if path.is_file() else {}
    longest = {"document_length": found["max_seq_length"]} if found.get("max_seq_length") else {}
    own = {name: found[name] for name in ("query_length", "document_length") if found.get(name)}
    return longest | own


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("encoder", f"{path} cannot be read: {error}") from error


def _new_projection(model: Any, width: int) -> nn.Linear:
    size = model.config.hidden_size
    if not 1 <= width <= size:
        raise InputError("width", f"{width} is not in [1, {size}], the width of the encoder's states")
    return _linear(nn.init.orthogonal_(torch.empty(width, size)))


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return layer


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Texts, longest first, in batches of at most `BATCH` tokens with padding."""
    batches: list[list[int]] = []
    for text in order:
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > BATCH:
            batches.append([])
        batches[-1].append(text)
    return batches
