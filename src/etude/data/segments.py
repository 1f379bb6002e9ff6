"""Segments of tokens: to calibrate on, at random places; to evaluate on, from the part that is held out.

A segment never crosses the end of a document that could fill it: documents of at least ``length``
tokens are cut on their own. Shorter ones are joined in their order with the tokenizer's end token
between them, and cut then.

Of a long text only the places that are used are tokenised. It is laid out in pieces that are
somewhat longer than a segment, pieces are chosen, and each chosen piece gives one segment. (A piece
that begins inside a document gives up its first few tokens: a word may have been cut there.) Where
this is not enough, because the text is hardly longer than what is asked of it, all of it is
tokenised and cut without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from etude.data.sources import load
from etude.data.tokens import Ids, encode, encode_all, end_token
from etude.errors import InputError

_PLENTY = 2.0
"""Pieces for every segment from which on a text is long enough to tokenise only parts of it."""
_SLACK = 1.5
"""Characters of a piece over what a segment has on average: nearly every piece then fills one."""
_CUT_WORD = 8
"""Tokens after which a text that was cut inside a word is tokenised like the whole."""

Choose = Callable[[int], int]
"""From a number n, one of 0..n-1."""


class Piece(NamedTuple):
    """A run of text that is tokenised together: part of one document, or several short ones."""

    texts: list[str]
    starts_inside: bool


def calibration(
    name_or_path: str | Path, tokenizer: Any, *, samples: int = 128, length: int = 2048, seed: int = 0
) -> dict[str, Tensor]:
    """Contiguous segments of ``length`` tokens at random, non-overlapping places of the calibration part.

    What Wanda and SparseGPT draw from C4. The same arguments give the same segments, on any machine.

    Parameters
    ----------
    name_or_path : as for `etude.data.load`.
    tokenizer : the model's.
    samples : number of segments.
    length : tokens of each; see the module's text for documents that are shorter.
    seed : of the choice of places.

    Returns
    -------
    dict : ``{"input_ids": ids, "attention_mask": ones}``, int64 ``[samples, length]``, as the model's
        forward pass takes them.

    Raises
    ------
    InputError : if the text cannot be read or is too short, saying how much it would give.

    Examples
    --------
    >>> from etude.models import load
    >>> _, tokenizer = load("nano-llama")
    >>> calibration("novels", tokenizer, samples=4, length=64)["input_ids"].shape
    torch.Size([4, 64])
    """
    _check(samples=samples, length=length)
    documents = load(name_or_path, "calibration")
    generator = torch.Generator().manual_seed(seed)

    def choose(count: int) -> int:
        return int(torch.randint(count, (1,), generator=generator))

    def shuffle(count: int) -> list[int]:
        order: list[int] = torch.randperm(count, generator=generator).tolist()
        return order

    rows = _sampled(documents, tokenizer, length, samples, shuffle, choose)
    if rows is None:
        every = encode_all(tuple(documents), tokenizer)
        found = cut(every, length, end_token(tokenizer), choose)
        if len(found) < samples:
            raise _too_short(name_or_path, sum(map(len, every)), len(found), length)
        rows = [found[at] for at in shuffle(len(found))[:samples]]
    ids = torch.tensor(rows)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def evaluation(
    name_or_path: str | Path, tokenizer: Any, *, length: int, segments: int | None = None
) -> Tensor:
    """Segments of ``length`` tokens from the held-out part; the same at every call.

    Parameters
    ----------
    name_or_path : as for `etude.data.load`.
    tokenizer : the model's.
    length : tokens of each; see the module's text for documents that are shorter.
    segments : at most so many, spread evenly over the text; None for all.

    Returns
    -------
    Tensor : int64 ``[segments, length]``.

    Raises
    ------
    InputError : if the text cannot be read or does not fill one segment.
    """
    _check(length=length, segments=1 if segments is None else segments)
    documents = load(name_or_path, "evaluation")

    def first(count: int) -> int:
        return 0

    def spread(count: int) -> list[int]:
        even = _spread(count, segments or count)
        return [*even, *(at for at in range(count) if at not in set(even))]

    rows = None
    if segments is not None:
        rows = _sampled(documents, tokenizer, length, segments, spread, first)
    if rows is None:
        every = encode_all(tuple(documents), tokenizer)
        rows = cut(every, length, end_token(tokenizer), first)
        if not rows:
            raise _too_short(name_or_path, sum(map(len, every)), 0, length)
        if segments is not None and segments < len(rows):
            rows = [rows[at] for at in _spread(len(rows), segments)]
    return torch.tensor(rows)


def cut(documents: Sequence[Ids], length: int, end: Ids, choose: Choose) -> list[Ids]:
    """All consecutive segments of ``length`` tokens.

    Parameters
    ----------
    documents : token ids of each.
    length : of a segment; shorter documents are joined, with ``end`` behind each.
    choose : how many of the tokens that are left over go in front of the first segment.
    """
    long = [ids for ids in documents if len(ids) >= length]
    joined = [token for ids in documents if len(ids) < length for token in (*ids, *end)]
    found = []
    for ids in [*long, joined]:
        offset = choose(len(ids) % length + 1)
        found += [ids[at : at + length] for at in range(offset, len(ids) - length + 1, length)]
    return found


def _sampled(
    documents: Sequence[str],
    tokenizer: Any,
    length: int,
    wanted: int,
    order: Callable[[int], list[int]],
    choose: Choose,
) -> list[Ids] | None:
    """One segment from each of the first pieces in ``order`` that fill one; None if the text is too short."""
    pieces = _pieces(documents, int(_SLACK * length * _characters_per_token(documents, tokenizer)))
    if len(pieces) < _PLENTY * wanted:
        return None
    end, found = end_token(tokenizer), []
    places = order(len(pieces))
    for at in range(0, len(places), wanted):
        chosen = [pieces[place] for place in places[at : at + wanted]]
        for piece, ids in zip(chosen, _encode_pieces(chosen, tokenizer), strict=True):
            segments = cut(ids, length, end if len(piece.texts) > 1 else [], choose)
            if segments:
                found.append(segments[choose(len(segments))])
                if len(found) == wanted:
                    return found
    return None


def _pieces(documents: Sequence[str], size: int) -> list[Piece]:
    """Lay a text out in pieces of at least ``size`` characters, but for the last of short documents."""
    pieces: list[Piece] = []
    short: list[str] = []
    for document in documents:
        if len(document) < size:
            short.append(document)
            if sum(map(len, short)) >= size:
                pieces.append(Piece(short, False))
                short = []
            continue
        bounds = [*range(0, len(document) - size + 1, size)]
        for begin, end in zip(bounds, [*bounds[1:], len(document)], strict=True):
            pieces.append(Piece([document[begin:end]], begin > 0))
    return [*pieces, Piece(short, False)] if short else pieces


def _encode_pieces(pieces: Sequence[Piece], tokenizer: Any) -> list[list[Ids]]:
    encoded = iter(encode([text for piece in pieces for text in piece.texts], tokenizer))
    rows = [[next(encoded) for _ in piece.texts] for piece in pieces]
    return [
        [ids[_CUT_WORD:] for ids in row] if piece.starts_inside else row
        for piece, row in zip(pieces, rows, strict=True)
    ]


def _characters_per_token(documents: Sequence[str], tokenizer: Any) -> float:
    """Estimated on a few thousand characters from the whole width of the text."""
    samples = [documents[at][:2000] for at in _spread(len(documents), min(5, len(documents)))]
    tokens = sum(map(len, encode(samples, tokenizer)))
    return sum(map(len, samples)) / max(1, tokens)


def _spread(count: int, wanted: int) -> list[int]:
    """``wanted`` of 0..count-1, evenly spaced."""
    return [at * count // wanted for at in range(wanted)]


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if type(value) is not int or value < 1:
            raise InputError(name, f"{value!r} is not a whole number of 1 or more")


def _too_short(name: str | Path, tokens: int, samples: int, length: int) -> InputError:
    if samples == 0:
        return InputError("length", f"{name} has only {tokens} tokens, fewer than one segment of {length}")
    return InputError(
        "samples", f"{name} has only {tokens} tokens; ask for at most {samples} samples of {length} tokens"
    )
