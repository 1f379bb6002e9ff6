"""Mentions found and named in running text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etude.errors import InputError
from etude.search.constrained.namer import Namer
from etude.search.link.markup import NIL, Marks, Markup, Parts, Span, read

MARKS = ("{", "}", "[", "]")


def annotate(
    namer: Namer,
    texts: Sequence[str],
    names: Sequence[str] = (),
    *,
    mentions: Sequence[str] | None = None,
    candidates: Mapping[str, Sequence[str]] | None = None,
    beams: int = 6,
) -> list[list[Span]]:
    """Find mentions in texts, and what they mean, by writing each text again with marks in it.

    Parameters
    ----------
    namer : a model that has learnt to write texts with marks (`marked_up`).
    texts : to be read.
    names : the catalogue; not needed if there are ``candidates``.
    mentions : what may be mentioned; None for any part of a text.
    candidates : by mention, its names; a mention that is not among them is left out (its name is ``NIL``).
    beams : ways of writing a text that are followed.

    Returns
    -------
    list : the spans of each text, in its order; none where nothing was written to its end.

    Raises
    ------
    InputError : naming ``names``, ``texts`` or ``model`` if the tokenizer has no single tokens for the marks.
    """
    marks = marks_of(namer)
    of_mentions = None
    if candidates is not None:
        of_mentions = {
            tuple(_ids(namer, said)): _each(namer, several) for said, several in candidates.items()
        }
    found = []
    for text in texts:
        ids, places = _tokens(namer, text)
        rule = Markup(
            [ids],
            marks,
            _each(namer, names),
            mentions=None if mentions is None else _each(namer, mentions),
            candidates=of_mentions,
            nil=_ids(namer, NIL),
        )
        written = namer.generate([text], rule, beams, max_length=4 * len(ids) + 40)[0]
        parts = read(written[0].tokens, marks) if written else Parts(ids, [])
        found.append(_spans(namer, text, parts, places))
    return found


def marked_up(text: str, spans: Sequence[Span]) -> str:
    """A text with mentions and names marked: what a model is to write for it.

    Examples
    --------
    >>> marked_up("In Paris they met", [Span(3, 5, "Paris (Troy)")])
    'In { Paris } [ Paris (Troy) ] they met'
    """
    found, last = "", 0
    for span in sorted(spans, key=lambda one: one.start):
        mention = text[span.start : span.start + span.length]
        found += f"{text[last : span.start]}{{ {mention} }} [ {span.name} ]"
        last = span.start + span.length
    return found + text[last:]


def marks_of(namer: Namer) -> Marks:
    """The tokens that mark mentions and names."""
    found = [_ids(namer, f" {mark}") for mark in MARKS]
    if any(len(ids) != 1 for ids in found):
        raise InputError("model", f"its tokenizer has no single tokens for {' '.join(MARKS)}")
    opened, closed, begin, finish = (ids[0] for ids in found)
    return Marks(opened, closed, begin, finish, namer.end)


def _each(namer: Namer, names: Sequence[str]) -> list[list[int]]:
    return [_ids(namer, name) for name in names]


def _ids(namer: Namer, text: str) -> list[int]:
    return _tokens(namer, text)[0]


def _tokens(namer: Namer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids without special ones, and the characters of each."""
    found = namer.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(found["input_ids"]), list(found["offset_mapping"])


def _spans(namer: Namer, text: str, parts: Parts, places: Sequence[tuple[int, int]]) -> list[Span]:
    found = []
    for begin, behind, name in parts.mentions:
        start, stop = places[begin][0], places[behind - 1][1]
        said = text[start:stop]
        start += len(said) - len(said.lstrip())
        title = namer.tokenizer.decode(name).strip()
        if title != NIL:
            found.append(Span(start, len(said.strip()), title))
    return found
