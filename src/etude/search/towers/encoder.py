"""The towers: a transformer or a bag of words, and a linear layer to the vectors that are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from etude import models
from etude.errors import InputError
from etude.models.boundary import quiet
from etude.progress import track
from etude.search.embedder import padded
from etude.search.vocabulary import learn

if TYPE_CHECKING:
    from etude.search.retrieve.vectors import Vectors

Body = Literal["transformer", "bag of words"]
Role = Literal["query", "passage"]

BATCH = 256
"""Texts that are encoded at once when the towers are not trained."""
VOCABULARY = 8192
"""Tokens of a new encoder's vocabulary, at most."""
_SETTINGS, _WEIGHTS = "towers.json", "model.safetensors"
_LINEAR = "torch.nn.modules.linear.Identity"


class Transformer(nn.Module):
    """The state of ``[CLS]`` in a transformer, through a linear layer.

    Parameters
    ----------
    model : an encoder of transformers.
    width : of the vector.
    """

    def __init__(self, model: Any, width: int) -> None:
        super().__init__()
        self.model = model
        self.linear = nn.Linear(model.config.hidden_size, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask ``[texts, length]`` to vectors ``[texts, width]``."""
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors: Tensor = self.linear(states[:, 0])
        return vectors


class BagOfWords(nn.Module):
    """The mean of a text's word vectors, through two layers: what is learnt without order and attention.

    Parameters
    ----------
    vocabulary : number of tokens.
    hidden : width of the word vectors and of the layer between.
    width : of the vector.
    """

    def __init__(self, vocabulary: int, hidden: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, hidden)
        self.layers = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As `Transformer.forward`."""
        weights = mask[..., None].to(self.words.weight.dtype)
        mean = (self.words(ids) * weights).sum(1) / weights.sum(1)
        vectors: Tensor = self.layers(mean)
        return vectors


class Towers(nn.Module):
    """Vectors of queries and of passages, whose inner product says how well they fit.

    Parameters
    ----------
    tokenizer : of both.
    query, passage : the towers; the same one where they share their weights.
    query_length, passage_length : tokens that are read of a text.
    """

    def __init__(
        self, tokenizer: Any, query: nn.Module, passage: nn.Module, query_length: int, passage_length: int
    ) -> None:
        super().__init__()
        self.tokenizer, self.query, self.passage = tokenizer, query, passage
        self.lengths: dict[Role, int] = {"query": query_length, "passage": passage_length}

    @property
    def shared(self) -> bool:
        """Whether there is but one tower."""
        return self.query is self.passage

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all weights and lengths."""
        total = hashlib.sha256(json.dumps(self.lengths).encode())
        for name, tensor in self.state_dict().items():
            total.update(name.encode())
            total.update(tensor.contiguous().numpy().data)
        return total.hexdigest()

    def rows(self, texts: Sequence[str], role: Role) -> list[list[int]]:
        """Token ids of each text, cut to the length of its role."""
        found: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=self.lengths[role], verbose=False
        )["input_ids"]
        return found

    def forward(self, rows: Sequence[Sequence[int]], role: Role) -> Tensor:
        """Vectors ``[texts, width]`` of rows of token ids."""
        tower = self.query if role == "query" else self.passage
        vectors: Tensor = tower(*padded(rows, self.tokenizer.pad_token_id))
        return vectors

    def encode(self, texts: Sequence[str], role: Role) -> Tensor:
        """Vectors of any number of texts, without gradients."""
        rows = self.rows(texts, role)
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        with torch.no_grad():
            for start in track(range(0, len(rows), BATCH), "encoding"):
                part = order[start : start + BATCH]
                for place, vector in zip(part, self([rows[i] for i in part], role), strict=True):
                    found[place] = vector
        return torch.stack(found)

    def documents(self, texts: Sequence[str]) -> Vectors:
        """For `etude.search.retrieve.vectors`."""
        return self.encode(texts, "passage").numpy()

    def queries(self, texts: Sequence[str]) -> Vectors:
        """For `etude.search.retrieve.vectors`."""
        return self.encode(texts, "query").numpy()

    def save(self, folder: Path) -> None:
        """Write the towers into an empty folder; each transformer as sentence-transformers reads it."""
        for role, tower in self._distinct().items():
            _write_tower(tower, self.tokenizer, self.lengths[role], folder / role)
        settings = {"lengths": self.lengths, "shared": self.shared}
        (folder / _SETTINGS).write_text(json.dumps(settings) + "\n", encoding="utf-8")

    def _distinct(self) -> dict[Role, nn.Module]:
        own: dict[Role, nn.Module] = {"passage": self.passage}
        return own if self.shared else {"query": self.query, **own}


def fresh(
    texts: Sequence[str],
    *,
    body: Body,
    hidden: int,
    layers: int,
    width: int,
    shared: bool,
    query_length: int,
    passage_length: int,
) -> Towers:
    """Towers that have learnt nothing, with a vocabulary learnt from texts; draws from torch's generator."""
    from transformers import BertConfig, BertModel

    tokenizer = learn(texts, VOCABULARY, lowercase=True)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 32),
        max_position_embeddings=max(query_length, passage_length),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        # With BERT's 0.02, made for states six times as wide, what [CLS] gathers is lost beside itself.
        initializer_range=hidden**-0.5,
    )

    def tower() -> nn.Module:
        if body == "bag of words":
            return BagOfWords(len(tokenizer), hidden, width)
        return Transformer(BertModel(config), width)

    query = tower()
    passage = query if shared else tower()
    return Towers(tokenizer, query, passage, query_length, passage_length).eval()


def of_model(name: str, *, width: int, shared: bool, query_length: int, passage_length: int) -> Towers:
    """Towers that go on from an encoder of transformers; draws from torch's generator.

    Raises
    ------
    InputError : naming ``encoder`` if there is none of that name, or it has no tokenizer.
    """
    try:
        found = [models.load(name) for _ in range(1 if shared else 2)]
    except InputError as error:
        raise InputError("encoder", error.message) from error
    tokenizer = found[0][1]
    if tokenizer is None or tokenizer.pad_token_id is None:
        raise InputError("encoder", f"{name} has no tokenizer that pads")
    towers = [Transformer(model.base_model, width) for model, _ in found]
    room = found[0][0].config.max_position_embeddings
    return Towers(tokenizer, towers[0], towers[-1], min(query_length, room), min(passage_length, room)).eval()


def read(folder: Path) -> Towers:
    """Read what `Towers.save` wrote.

    Raises
    ------
    InputError : naming ``encoder`` if the folder is damaged.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        lengths, shared = settings["lengths"], settings["shared"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError("encoder", f"{folder} cannot be read: {error}") from error
    passage, tokenizer = _read_tower(folder / "passage")
    query = passage if shared else _read_tower(folder / "query")[0]
    return Towers(tokenizer, query, passage, lengths["query"], lengths["passage"]).eval()


def _write_tower(tower: nn.Module, tokenizer: Any, length: int, folder: Path) -> None:
    """A folder that ``SentenceTransformer`` loads; of a bag of words, its tensors and its tokenizer."""
    from safetensors.torch import save_file

    folder.mkdir()
    tokenizer.save_pretrained(folder)
    if isinstance(tower, BagOfWords):
        save_file(tower.state_dict(), folder / _WEIGHTS)
        return
    assert isinstance(tower, Transformer)
    with quiet():
        tower.model.save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    hidden, width = tower.linear.in_features, tower.linear.out_features
    shape = {"in_features": hidden, "out_features": width, "bias": True, "activation_function": _LINEAR}
    pooling = {"word_embedding_dimension": hidden, "pooling_mode_cls_token": True}
    _write(folder / "modules.json", modules)
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "dot"})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    _write(folder / "1_Pooling" / "config.json", {**pooling, "pooling_mode_mean_tokens": False})
    _write(folder / "2_Dense" / "config.json", shape)
    linear = {f"linear.{name}": tensor.contiguous() for name, tensor in tower.linear.state_dict().items()}
    save_file(linear, folder / "2_Dense" / _WEIGHTS)


def _read_tower(folder: Path) -> tuple[nn.Module, Any]:
    from safetensors.torch import load_file

    from etude.models.loading import tokenizer_of

    if not (folder / "modules.json").is_file():
        state = load_file(folder / _WEIGHTS)
        (vocabulary, hidden), width = state["words.weight"].shape, len(state["layers.2.bias"])
        bag = BagOfWords(vocabulary, hidden, width)
        bag.load_state_dict(state)
        return bag, tokenizer_of(folder)
    model, tokenizer = models.load(folder)
    state = load_file(folder / "2_Dense" / _WEIGHTS)
    tower = Transformer(model, len(state["linear.bias"]))
    tower.linear.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in state.items()})
    return tower, tokenizer


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
