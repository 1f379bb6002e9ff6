"""Changes that leave a machine's text readable, as somebody makes who wants it to pass for a person's."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from etude.errors import InputError

Attack = Literal["none", "sentences", "swaps", "typos", "homoglyphs", "masked"]
SHARE = 0.15
"""Of the words that an attack changes."""
HOMOGLYPHS = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
"""Latin letters to Cyrillic ones that look the same."""


def attacked(texts: Sequence[str], attack: Attack, masked: str = "nano-bert", seed: int = 0) -> list[str]:
    """Each text changed.

    Parameters
    ----------
    texts : that are changed.
    attack : "sentences", their order; "swaps", neighbouring words change places; "typos", a letter is
        doubled, lost or changes places with the next; "homoglyphs", Cyrillic letters for Latin ones;
        "masked", words that a masked language model finds likely in the place of others, a paraphrase word
        by word.
    masked : name or folder of that model.
    seed : of the places.

    Raises
    ------
    InputError : naming ``masked`` if that model cannot be used.

    Examples
    --------
    >>> attacked(["One is here. Two is there."], "sentences", seed=1)
    ['Two is there. One is here.']
    >>> attacked(["a b"], "none")
    ['a b']
    """
    draw = random.Random(seed)
    change: Callable[[str], str]
    if attack == "masked":
        change = partial(_masked, draw=draw, loaded=_masked_model(masked))
    else:
        change = partial({"none": _same, **_PLAIN}[attack], draw=draw)
    return [change(text) for text in texts]


def _same(text: str, draw: random.Random) -> str:
    return text


def _sentences(text: str, draw: random.Random) -> str:
    sentences = re.split(r"(?<=[.!?]) ", text)
    order = sentences[:]
    while len(set(sentences)) > 1 and order == sentences:
        draw.shuffle(order)
    return " ".join(order)


def _swaps(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    for place in _places(len(words) - 1, draw):
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def _typos(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    for place in _places(len(words), draw):
        word = words[place]
        at = draw.randrange(max(1, len(word) - 1))
        several = (
            word[: at + 1] + word[at:],
            word[:at] + word[at + 1 :],
            word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
        )
        words[place] = draw.choice(several) or word
    return " ".join(words)


def _homoglyphs(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    for place in _places(len(words), draw):
        words[place] = words[place].translate(HOMOGLYPHS)
    return " ".join(words)


_PLAIN: dict[str, Callable[..., str]] = {
    "sentences": _sentences,
    "swaps": _swaps,
    "typos": _typos,
    "homoglyphs": _homoglyphs,
}


def _masked(text: str, draw: random.Random, loaded: tuple[Any, Any]) -> str:
    """Replace words one after the other by the likeliest other word in their place."""
    import torch

    from etude.explain.attribution.masked import chances, with_mask

    model, tokenizer = loaded
    words = text.split(" ")
    for place in _places(len(words), draw):
        before, behind = " ".join(words[:place]), " ".join(words[place + 1 :])
        row = with_mask(before, behind, model, tokenizer)
        for token in torch.topk(chances(model, [row], tokenizer)[0], 10).indices.tolist():
            word = str(tokenizer.decode([token])).strip()
            if word.isalpha() and word.lower() != re.sub(r"\W", "", words[place]).lower():
                words[place] = re.sub(r"\w[\w'’-]*", word, words[place], count=1)
                break
    return " ".join(words)


def _masked_model(name: str) -> tuple[Any, Any]:
    from etude.explain.attribution.masked import loaded

    model, tokenizer = loaded(name)
    if tokenizer.cls_token_id is None:
        raise InputError("masked", "its tokenizer marks no begin of a text")
    return model, tokenizer


def _places(count: int, draw: random.Random) -> list[int]:
    return sorted(draw.sample(range(count), max(1, round(SHARE * count)))) if count > 0 else []
