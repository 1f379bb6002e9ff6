"""An encoder whose window was stretched, or that looks at a long text window by window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from etude.errors import InputError
from etude.files import new_folder
from etude.search.embedder import Embedder, frame, pool
from etude.search.long.attention import Bands, Reach, adapted, frequencies
from etude.search.long.extension import Extension
from etude.search.long.growing import positions_of

Windows = Literal["one", "mean", "max", "late"]
FACTS = "etude_long.json"


class Vectors(NamedTuple):
    """Vectors of texts: one each, or several.

    Parameters
    ----------
    values : of length 1, ``[vectors, width]``; those of a text are neighbours.
    owners : number of the text that each is of, ascending, ``[vectors]``.
    """

    values: Tensor
    owners: Tensor


@dataclass(frozen=True)
class LongEncoder:
    """Encodes texts that are longer than what the encoder was made for.

    Parameters
    ----------
    embedder : the encoder; its window is the target.
    extension : what it believes of positions.
    windows : "one" for a text as a whole; else windows of the original size without overlap, the last moved
        to the left so that it is full: "mean" of their vectors, or all of them, of which a query's best
        match counts ("max"), or "late": states of a window averaged over spans.
    span : tokens that "late" averages.
    """

    embedder: Embedder
    extension: Extension
    windows: Windows = "one"
    span: int = 128

    @classmethod
    def of(cls, embedder: Embedder, model: Any, extension: Extension, **options: Any) -> LongEncoder:
        """A model, perhaps another than the embedder's, with the embedder's tokenizer and pooling.

        Raises
        ------
        InputError : if positions are to be moved that do not begin at 0.
        """
        if extension.positions != "plain":
            positions_of(model)
        stretched = Embedder(adapted(model), embedder.tokenizer, embedder.pooling, extension.target)
        return cls(stretched, extension, **options)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of documents.

        Raises
        ------
        InputError : naming ``texts`` if they are none.
        """
        check_texts(texts)
        rows = self.embedder.ids(texts)
        if self.windows == "one":
            return Vectors(normalize(self._pooled(rows), dim=1), torch.arange(len(rows)))
        begin, end = frame(self.embedder.tokenizer)
        bodies = [row[len(begin) : len(row) - len(end)] for row in rows]
        size = self.extension.original - len(begin) - len(end)
        cut = [windows(body, size) for body in bodies]
        owners = torch.tensor([owner for owner, parts in enumerate(cut) for _ in parts])
        framed = [[*begin, *part, *end] for parts in cut for part in parts]
        if self.windows == "late":
            return self._spans(framed, owners, len(begin), len(end))
        vectors = self._pooled(framed)
        if self.windows == "max":
            return Vectors(normalize(vectors, dim=1), owners)
        totals = torch.zeros(len(rows), vectors.shape[1]).index_add_(0, owners, vectors)
        means = totals / torch.bincount(owners, minlength=len(rows))[:, None]
        return Vectors(normalize(means, dim=1), torch.arange(len(rows)))

    def queries(self, texts: Sequence[str]) -> Tensor:
        """One vector for each query, ``[queries, width]``; what is behind the original window is cut off."""
        check_texts(texts)
        rows = self.embedder.ids(texts, self.extension.original)
        return normalize(self._pooled(rows), dim=1)

    def arguments(self, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        """What a forward pass is given besides ids and mask; nothing where nothing is changed."""
        extension, lengths = self.extension, mask.sum(1)
        given: dict[str, Any] = {}
        if extension.positions != "plain":
            given["position_ids"] = extension.places(lengths, ids.shape[1])
            given["token_type_ids"] = torch.zeros_like(ids)  # BERT's own are looked up by position
        temperatures = extension.temperatures(lengths)
        groups = extension.groups(lengths)
        bands = self._bands(lengths, ids.shape[1]) if bool((groups > 1).any()) else None
        if bands is not None or bool((temperatures > 1).any()):
            given["reach"] = Reach(temperatures, bands)
        return given

    def _bands(self, lengths: Tensor, width: int) -> Bands:
        turning = frequencies(self.embedder.model)
        if turning is None:
            raise InputError("encoder", "has no rotary positions to group")
        return Bands(*self.extension.shifts(lengths, width), self.extension.neighbours, turning)

    def _pooled(self, rows: Sequence[Sequence[int]]) -> Tensor:
        found: dict[int, Tensor] = {}
        for places, states, mask in self.embedder.states(rows, self.arguments):
            found |= zip(places, pool(states, mask, self.embedder.pooling), strict=True)
        return torch.stack([found[place] for place in range(len(rows))])

    def _spans(self, rows: Sequence[Sequence[int]], owners: Tensor, begin: int, end: int) -> Vectors:
        """Means over spans of each window's states; special tokens belong to none."""
        found: dict[int, Tensor] = {}
        for places, states, mask in self.embedder.states(rows, self.arguments):
            for place, row, length in zip(places, states, mask.sum(1).tolist(), strict=True):
                body = row[begin : length - end] if length > begin + end else row[:length]
                found[place] = torch.stack([span.mean(0) for span in body.split(self.span)])
        values = torch.cat([found[place] for place in range(len(rows))])
        counts = torch.tensor([len(found[place]) for place in range(len(rows))])
        return Vectors(normalize(values, dim=1), owners.repeat_interleave(counts))

    def save(self, folder: str | Path) -> None:
        """Write a folder that `load_long` reads, and as far as it can hold it, sentence-transformers.

        The latter reads the encoder's weights, so a longer matrix of positions and slower rotary ones; it
        knows nothing of windows, temperature, SelfExtend, or of short texts read at other positions.

        Raises
        ------
        InputError : if the folder holds something.
        """
        with new_folder(Path(folder).expanduser()) as temporary:
            write(temporary, self)


def write(folder: Path, encoder: LongEncoder) -> None:
    """Write an encoder into a folder that exists; see `LongEncoder.save`."""
    from etude import models

    embedder = encoder.embedder
    models.save(embedder.model, embedder.tokenizer, folder / "model")
    for file in (folder / "model").iterdir():
        file.rename(folder / file.name)
    (folder / "model").rmdir()
    place = "sentence_transformers.models."
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    pooling = {f"pooling_mode_{kind}": False for kind in ("cls_token", "mean_tokens", "lasttoken")}
    chosen = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}[embedder.pooling]
    pooling[f"pooling_mode_{chosen}"] = True
    width = embedder.model.config.hidden_size
    facts: dict[str, Any] = {
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": place + kind}
            for n, (kind, path) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": encoder.extension.target, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, **pooling},
        FACTS: {"extension": asdict(encoder.extension), "windows": encoder.windows, "span": encoder.span},
    }
    for name, content in facts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_long(folder: str | Path) -> LongEncoder:
    """Read what `LongEncoder.save` wrote.

    Raises
    ------
    InputError : naming ``folder`` if it holds no such encoder.
    """
    place = Path(folder).expanduser()
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        extension = Extension(**facts["extension"])
        options = {"windows": facts["windows"], "span": int(facts["span"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("folder", f"{place} holds no stretched encoder: {error}") from error
    if options["windows"] not in get_args(Windows):
        raise InputError("folder", f"{place} asks for windows {options['windows']!r}, which are not known")
    embedder = Embedder.load(place, extension.target)
    return LongEncoder.of(embedder, embedder.model, extension, **options)


def windows(body: Sequence[int], size: int) -> list[list[int]]:
    """Tokens in windows of one size; the last is moved to the left, so that it is full.

    Examples
    --------
    >>> windows([1, 2, 3, 4, 5], 3), windows([1, 2], 3), windows([], 3)
    ([[1, 2, 3], [3, 4, 5]], [[1, 2]], [[]])
    """
    starts = range(0, max(1, len(body)), size)
    last = max(0, len(body) - size)
    return [list(body[min(at, last) : min(at, last) + size]) for at in starts]


def best_matches(queries: Tensor, vectors: Vectors, documents: int) -> Tensor:
    """Scores of each query with each document's best vector, ``[queries, documents]``.

    Examples
    --------
    >>> vectors = Vectors(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), torch.tensor([0, 0, 1]))
    >>> best_matches(torch.tensor([[0.0, 1.0]]), vectors, 2).tolist()
    [[1.0, 0.800000011920929]]
    """
    scores = queries @ vectors.values.T
    best = torch.full((len(queries), documents), -torch.inf)
    return best.scatter_reduce(1, vectors.owners.expand(len(queries), -1), scores, "amax")


def check_texts(texts: Any) -> None:
    """Raise `InputError` if these are not texts."""
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not texts:
        raise InputError("texts", "is not a list of one or more texts")
    if bad := [place for place, text in enumerate(texts) if not isinstance(text, str)]:
        raise InputError("texts", f"number {bad[0]} is no text")


def check_embedder(encoder: Any) -> None:
    """Raise `InputError` if it is no `Embedder`."""
    if not isinstance(encoder, Embedder):
        raise InputError("encoder", f"is a {type(encoder).__name__}; give an Embedder (Embedder.load)")
