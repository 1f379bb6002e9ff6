"""ColBERT over a modular encoder: a vector for each token, every text under its language's adapter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from etude.errors import InputError
from etude.files import new_folder
from etude.progress import track
from etude.search.late.tokens import Tokens
from etude.search.modular import encoder as modular
from etude.search.modular.encoder import Modular
from etude.search.modular.languages import detect
from etude.search.modular.vocabulary import DOCUMENT, QUERY, punctuation

Kind = Literal["query", "document"]
Vectors = Literal["tokens", "first"]

BATCH = 64
"""Texts that go through the model at once."""
_HEAD, _SETTINGS = "head.safetensors", "retriever.json"


@dataclass(frozen=True)
class Batch:
    """Texts as the model takes them, all ``[texts, length]`` but ``languages``, ``[texts]``.

    Parameters
    ----------
    ids : of tokens.
    attention : 1 where a token is attended to; the ``[MASK]`` that fill up a query are.
    kept : where a token's vector counts.
    languages : numbers of adapters.
    """

    ids: Tensor
    attention: Tensor
    kept: Tensor
    languages: Tensor


class Retriever(nn.Module):
    """Turns queries and documents into token vectors of unit length.

    A query is ``[CLS] [Q] tokens [SEP]``, filled up to its full length with ``[MASK]``, which are attended to
    and whose vectors count: the encoder says there what else the query may mean. A document is
    ``[CLS] [D] tokens [SEP]``, and its punctuation does not count.

    Parameters
    ----------
    encoder : a backbone.
    projection : from its states to vectors, without bias.
    query_length, document_length : tokens of a text, the special ones included.
    vectors : "tokens"; "first" for the vector of ``[CLS]`` alone, which makes a retriever of single vectors.
    language : of all texts; "" to detect that of each.

    References
    ----------
    Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late
    Interaction over BERT", SIGIR 2020, sec. 3.2. arXiv:2004.12832.
    """

    def __init__(
        self,
        encoder: Modular,
        projection: nn.Linear,
        *,
        query_length: int = 32,
        document_length: int = 256,
        vectors: Vectors = "tokens",
        language: str = "",
    ) -> None:
        super().__init__()
        self.model, self.projection = encoder.model, projection  # as modules, for their parameters
        self.encoder, self.vectors, self.language = encoder, vectors, language
        room = encoder.model.config.max_position_embeddings - encoder.model.config.pad_token_id - 1
        self.lengths: dict[Kind, int] = {
            "query": min(query_length, room),
            "document": min(document_length, room),
        }
        self._signs = {
            language: torch.tensor(punctuation(encoder.reader(language))) for language in encoder.languages
        }

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self.projection.out_features

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all weights and settings: equal retrievers, equal fingerprints."""
        languages = [*self.encoder.languages, *self.encoder.own, self.language]
        total = hashlib.sha256(json.dumps([self.lengths, self.vectors, languages]).encode())
        for name, tensor in self.state_dict().items():
            total.update(name.encode())
            total.update(tensor.contiguous().numpy().data)
        return total.hexdigest()

    def batch(self, texts: Sequence[str], kind: Kind, languages: Sequence[str] | None = None) -> Batch:
        """Read texts, each with the vocabulary of its language.

        Parameters
        ----------
        texts : one or more.
        kind : of all of them.
        languages : of each; None for the retriever's own, or those that are detected.

        Raises
        ------
        InputError : naming ``language`` for one that the encoder has no adapter of.
        """
        languages = self._languages(texts) if languages is None else languages
        numbers = modular.mapped([self.encoder.number(language) for language in languages])
        length = self.lengths[kind]
        tokenizer = self.encoder.tokenizer
        mark = tokenizer.convert_tokens_to_ids(QUERY if kind == "query" else DOCUMENT)
        rows = [
            [tokenizer.cls_token_id, mark, *found[: length - 3], tokenizer.sep_token_id]
            for found in self._tokens(texts, languages)
        ]
        longest = length if kind == "query" else max(map(len, rows))
        padding = tokenizer.mask_token_id if kind == "query" else tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
        attention = (ids != tokenizer.pad_token_id).long()
        kept = attention.bool()
        if self.vectors == "first":
            kept = torch.zeros_like(kept)
            kept[:, 0] = True
        elif kind == "document":
            kept &= ~torch.stack(
                [torch.isin(row, self._signs[lang]) for row, lang in zip(ids, languages, strict=True)]
            )
        return Batch(ids, attention, kept, numbers)

    def _languages(self, texts: Sequence[str]) -> list[str]:
        return [self.language] * len(texts) if self.language else detect(texts, self.encoder.languages)

    def _tokens(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = [[]] * len(texts)
        for language in dict.fromkeys(languages):
            places = [place for place, own in enumerate(languages) if own == language]
            tokenizer = self.encoder.reader(language)
            rows = tokenizer([texts[i] for i in places], add_special_tokens=False, verbose=False)["input_ids"]
            for place, row in zip(places, rows, strict=True):
                found[place] = row
        return found

    def forward(self, batch: Batch) -> Tokens:
        """The vectors that count."""
        states = self.encoder.hidden(batch.ids, batch.attention, batch.languages)
        vectors = normalize(self.projection(states[batch.kept]), dim=-1)
        return Tokens(vectors, batch.kept.sum(1))

    def encode(self, texts: Sequence[str], kind: Kind) -> Tokens:
        """The vectors of any number of texts, without gradients."""
        if not texts:
            return Tokens(torch.empty(0, self.width), torch.empty(0, dtype=torch.int64))
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        with torch.no_grad():
            for start in track(range(0, len(texts), BATCH), f"encoding {kind}s"):
                part = order[start : start + BATCH]
                tokens = self(self.batch([texts[i] for i in part], kind))
                for place, own in zip(part, tokens.vectors.split(tokens.lengths.tolist()), strict=True):
                    found[place] = own
        return Tokens.of(found)

    def save(self, folder: Path, languages: Sequence[str] | None = None) -> None:
        """Write the encoder with all languages, or with those asked for, and the projection."""
        with new_folder(folder) as temporary:
            write(self, temporary, languages)


def write(retriever: Retriever, folder: Path, languages: Sequence[str] | None = None) -> None:
    """Write a retriever into an empty folder that exists."""
    from safetensors.torch import save_file

    modular.save(retriever.encoder, folder / "encoder", languages)
    save_file({"weight": retriever.projection.weight.detach().contiguous()}, folder / _HEAD)
    settings = {f"{kind}_length": length for kind, length in retriever.lengths.items()}
    (folder / _SETTINGS).write_text(
        json.dumps({**settings, "vectors": retriever.vectors, "language": retriever.language}) + "\n"
    )


def read(folder: Path, languages: Sequence[str] | None = None) -> Retriever:
    """Read what `write` wrote, with all languages or those asked for.

    Raises
    ------
    InputError : naming ``encoder`` if the folder is damaged, ``language`` if it lacks one.
    """
    from safetensors.torch import load_file

    encoder = modular.load(folder / "encoder", languages)
    try:
        settings = json.loads((folder / _SETTINGS).read_text())
        weight = load_file(folder / _HEAD)["weight"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError("encoder", f"{folder} cannot be read: {error}") from error
    return Retriever(encoder, _linear(weight), **settings).eval()


def head(encoder: Modular, width: int) -> nn.Linear:
    """A projection that has learnt nothing, from torch's generator."""
    return nn.Linear(encoder.model.config.hidden_size, width, bias=False)


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight)
    return layer
