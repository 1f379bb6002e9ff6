"""Vocabularies of small encoders, learnt from texts; the same texts give the same vocabulary.

Byte-pair encoding, as in SentencePiece with a mark before each word: the trainer of WordPiece numbers letters
in an order that is another in every run, and with it breaks ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
WORD = "▁"
"""Stands before each word, punctuation included."""


def learn(texts: Iterable[str], size: int, *, lowercase: bool = False, marks: Sequence[str] = ()) -> Any:
    """Learn a vocabulary; accents and scripts stay, punctuation and Chinese characters stand alone.

    Parameters
    ----------
    texts : to learn from.
    size : tokens at most, the special ones included.
    lowercase : whether capitals are read as small letters, and accents left out.
    marks : further special tokens.

    Returns
    -------
    PreTrainedTokenizerFast : texts become ``[CLS] tokens [SEP]``.

    Examples
    --------
    >>> learn(["Ein Haus, ein Baum."], size=60).tokenize("Ein Baum!")
    ['▁Ein', '▁Baum', '▁', '[UNK]']
    """
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    _prepare(tokenizer, lowercase)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL.values(), *marks],
        limit_alphabet=1000,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _fast(tokenizer, marks)


def extension(
    tokenizer: Any,
    texts: Iterable[str],
    size: int,
    first: int,
    *,
    lowercase: bool = False,
    marks: Sequence[str] = (),
) -> Any:
    """A vocabulary for a language that is added later.

    Tokens that the old vocabulary has keep their identifiers; new ones get others. The old tokenizer stays
    as it is, and so do the tokens of all texts in its languages.

    Parameters
    ----------
    tokenizer : the old one.
    texts, size, lowercase, marks : as for `learn`.
    first : identifier of the first new token.

    Examples
    --------
    >>> old = learn(["abc abd"], size=20)
    >>> new = extension(old, ["abc xyz"], size=20, first=len(old))
    >>> min(set(new.get_vocab().values()) - set(old.get_vocab().values())) == len(old)
    True
    """
    import json

    from tokenizers import Tokenizer, models

    learnt = learn(texts, size, lowercase=lowercase, marks=marks)
    known, wanted = tokenizer.get_vocab(), learnt.get_vocab()
    new = sorted(set(wanted) - set(known), key=wanted.__getitem__)
    numbers = {token: known[token] for token in wanted if token in known}
    numbers |= {token: first + place for place, token in enumerate(new)}
    merges = json.loads(learnt.backend_tokenizer.to_str())["model"]["merges"]
    made = Tokenizer(
        models.BPE(vocab=numbers, merges=[(a, b) for a, b in merges], unk_token=SPECIAL["unk_token"])
    )
    _prepare(made, lowercase)
    made.add_special_tokens([*SPECIAL.values(), *marks])
    return _fast(made, marks)


def with_marks(tokenizer: Any, marks: Sequence[str]) -> Any:
    """The tokenizer, with further special tokens."""
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    return tokenizer


def _prepare(tokenizer: Any, lowercase: bool) -> None:
    from tokenizers import decoders, normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(WORD, split=False)]
    )
    tokenizer.decoder = decoders.Metaspace(WORD)


def _fast(tokenizer: Any, marks: Sequence[str]) -> Any:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    begin, end = SPECIAL["cls_token"], SPECIAL["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B {end}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (begin, end)],
    )
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, model_max_length=512, **SPECIAL
    )
    return with_marks(made, marks) if marks else made
