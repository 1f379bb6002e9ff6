"""An encoder whose layers hold an adapter for each language: X-MOD, as transformers has it.

After the feed-forward part of a layer, ``h = norm(x + FFN(x))`` and the output is
``norm(h + W2 gelu(W1 h))``, where ``W1`` and ``W2`` are those of the text's language. All else is shared, and
both norms are the layer's one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from etude import models
from etude.errors import InputError, unknown
from etude.files import new_folder
from etude.search.modular.vocabulary import special

_OWN_VOCABULARIES = "languages"
_ADAPTERS = "adapter_modules"
_TABLES = ("roberta.embeddings.word_embeddings.weight", "lm_head.bias")
"""Tensors that have a row for each token."""


@dataclass(frozen=True)
class Modular:
    """An X-MOD model with the vocabularies of its languages.

    Parameters
    ----------
    model : an ``XmodForMaskedLM``.
    tokenizer : of all languages but those in ``own``.
    own : tokenizers of languages that were added with a vocabulary of their own; their identifiers go on
        where those of the shared one end.
    """

    model: Any
    tokenizer: Any
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """In the order of their numbers."""
        return list(self.model.config.languages)

    def number(self, language: str) -> int:
        """Of a language's adapter; `InputError` naming ``language`` if it has none."""
        if language not in self.languages:
            raise unknown("language", language, self.languages)
        return self.languages.index(language)

    def reader(self, language: str) -> Any:
        """The tokenizer of a language."""
        return self.own.get(language, self.tokenizer)

    def rows(self, language: str) -> range:
        """The rows of embeddings that are a language's own; none if it has no vocabulary of its own."""
        if language not in self.own:
            return range(0)
        new = set(self.own[language].get_vocab().values()) - set(self.tokenizer.get_vocab().values())
        return range(min(new), max(new) + 1) if new else range(0)

    def hidden(self, ids: Tensor, attention: Tensor, numbers: Tensor) -> Tensor:
        """Last hidden states.

        Parameters
        ----------
        ids, attention : int64 ``[texts, length]``.
        numbers : of each text's language, int64 ``[texts]``.

        Returns
        -------
        Tensor : ``[texts, length, width]``.
        """
        found: Tensor = self.model.roberta(
            input_ids=ids, attention_mask=attention, lang_ids=numbers
        ).last_hidden_state
        return found


def blank(
    tokenizer: Any,
    languages: Sequence[str],
    *,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    inner: int = 256,
    length: int = 256,
) -> Modular:
    """An encoder that has learnt nothing, with one adapter a language; draws from torch's generator.

    Parameters
    ----------
    tokenizer : of `etude.search.modular.vocabulary`.
    languages : their names.
    width, layers, heads, inner : sizes of the model; adapters are half as wide.
    length : tokens that it reads at most.

    Examples
    --------
    >>> from etude.search.modular.vocabulary import train
    >>> encoder = blank(train(["a b c"], size=20), ["en", "de"], width=8, heads=2)
    >>> encoder.languages, sum(adapter.numel() for adapter in adapters(encoder, "de").values())
    (['en', 'de'], 152)

    References
    ----------
    Pfeiffer et al., "Lifting the Curse of Multilinguality by Pre-training Modular Transformers", NAACL 2022.
    """
    from transformers import XmodConfig, XmodForMaskedLM

    config = XmodConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=length + tokenizer.pad_token_id + 1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pre_norm=False,
        adapter_reduction_factor=2,
        adapter_layer_norm=False,
        adapter_reuse_layer_norm=True,
        ln_before_adapter=True,
        languages=tuple(languages),
        default_language=languages[0],
    )
    model: Any = XmodForMaskedLM(config)
    return Modular(model.eval(), tokenizer)


def freeze(model: nn.Module) -> None:
    """Let fine-tuning change what languages share, and neither embeddings nor adapters.

    The masked language model's head, which search does not use, stays as it is too.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not _of_languages(name) and not name.startswith("lm_head"))


def _of_languages(name: str) -> bool:
    return "embeddings." in name or _ADAPTERS in name or "adapter_layer_norm" in name


def adapters(encoder: Modular, language: str) -> dict[str, Tensor]:
    """The tensors of one language's adapters, by their names in the model."""
    encoder.number(language)
    return {
        name: tensor
        for name, tensor in encoder.model.state_dict().items()
        if f"{_ADAPTERS}.{language}." in name
    }


def extended(encoder: Modular, language: str, tokenizer: Any = None) -> Modular:
    """A copy with one language more, whose adapter has learnt nothing; all others stay to the bit.

    Parameters
    ----------
    encoder : stays as it is.
    language : the new one.
    tokenizer : its own, from `etude.search.modular.vocabulary.extension`; its new tokens get new rows of
        embeddings behind those that there are, drawn from torch's generator. None if it is written in tokens
        that are there.

    Raises
    ------
    InputError : naming ``language`` if it is there already, or the rows of its tokens are another's.
    """
    if language in encoder.languages:
        raise InputError("language", f"{language!r} is there already")
    own = {**encoder.own} if tokenizer is None else {**encoder.own, language: tokenizer}
    old, new = encoder.model, Modular(encoder.model, encoder.tokenizer, own).rows(language)
    if len(new) and new.start < old.config.vocab_size:
        raise InputError("language", f"rows {new.start} and on, which {language!r} needs, are another's")
    config = copy.deepcopy(old.config)
    config.languages = [*encoder.languages, language]
    config.vocab_size = max(config.vocab_size, new.stop)
    model = type(old)(config).eval()
    _copy_into(model, old.state_dict())
    return Modular(model, encoder.tokenizer, own)


def plugged(encoder: Modular, source: Modular, language: str) -> Modular:
    """A copy of an encoder with a language that another one of the same origin has learnt.

    The encoder may have been fine-tuned in the meantime: only the language's adapters and its own rows of
    embeddings are taken over.

    Raises
    ------
    InputError : naming ``language`` if the source lacks it, or the encoder has it or has lent its rows of
        embeddings to another.
    """
    learnt = adapters(source, language)
    made = extended(encoder, language, source.own.get(language))
    state = made.model.state_dict()
    for name, tensor in learnt.items():
        state[name].copy_(tensor)
    own = made.rows(language)
    for name in _TABLES:
        state[name][own.start : own.stop] = source.model.state_dict()[name][own.start : own.stop]
    return made


def only(encoder: Modular, languages: Sequence[str]) -> Modular:
    """A copy with the adapters of these languages alone.

    Raises
    ------
    InputError : naming ``language`` for one that it lacks.
    """
    for language in languages:
        encoder.number(language)
    config = copy.deepcopy(encoder.model.config)
    config.languages = list(languages)
    config.default_language = languages[0]
    model = type(encoder.model)(config).eval()
    _copy_into(model, encoder.model.state_dict())
    own = {language: reader for language, reader in encoder.own.items() if language in languages}
    return Modular(model, encoder.tokenizer, own)


def save(encoder: Modular, folder: Path, languages: Sequence[str] | None = None) -> None:
    """Write a checkpoint that transformers loads, with all languages or only those asked for.

    Vocabularies of added languages lie in ``languages/<name>``.

    Raises
    ------
    InputError : naming ``language`` for one that it lacks, ``folder`` if it holds something.
    """
    kept = encoder if languages is None else only(encoder, languages)
    with new_folder(folder) as temporary:
        models.save(kept.model, kept.tokenizer, temporary)
        for language, tokenizer in kept.own.items():
            tokenizer.save_pretrained(temporary / _OWN_VOCABULARIES / language)


def load(folder: Path, languages: Sequence[str] | None = None) -> Modular:
    """Read what `save` wrote, or an X-MOD checkpoint of transformers; all languages, or those asked for.

    Raises
    ------
    InputError : if the folder holds no X-MOD model, or it lacks a language.
    """
    model, tokenizer = models.load(folder)
    if model.config.model_type != "xmod" or tokenizer is None:
        raise InputError("backbone", f"{folder} holds no X-MOD model with a tokenizer")
    own = {place.name: special(_tokenizer(place)) for place in sorted(folder.glob(f"{_OWN_VOCABULARIES}/*"))}
    encoder = Modular(model, special(tokenizer), own)
    return encoder if languages is None else only(encoder, languages)


def _tokenizer(folder: Path) -> Any:
    from etude.models.loading import tokenizer_of

    return tokenizer_of(folder)


def _copy_into(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take over all tensors that both have; of those with fewer rows, the rows that there are."""
    for name, tensor in model.state_dict().items():
        if name in state:
            tensor[: len(state[name])].copy_(state[name])


def tables(model: Any) -> tuple[nn.Parameter, ...]:
    """The parameters that have a row for each token, those that are tied counted once."""
    names = dict(model.named_parameters())
    return tuple(names[name] for name in _TABLES)


def mapped(numbers: Sequence[int]) -> Tensor:
    """Numbers of languages as the model takes them."""
    return torch.tensor(list(numbers), dtype=torch.long)
