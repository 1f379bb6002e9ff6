"""Ask a language model for its next token, many prompts at once, and count what it costs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.explain.attribution.attribution import Attribution
from etude.models.likelihood import check_causal, context_length, evaluating

BATCH_TOKENS = 2048


class Probe:
    """A causal language model behind one prompt, asked about one next token.

    Parameters
    ----------
    model : a causal language model.
    tokenizer : for the texts of tokens; None shows their numbers.
    ids : the prompt, int64 ``[length]``.
    target : the token to explain; None for the one that the model finds most likely.

    Attributes
    ----------
    probabilities : of the next token behind the prompt, float32 ``[vocabulary]``.
    forwards : sequences that have gone through the model so far.

    Raises
    ------
    InputError : naming ``model``, ``ids`` or ``target``.
    """

    def __init__(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> None:
        check_causal(model)
        check_ids(model, ids)
        check_target(model, target)
        self.model, self.tokenizer, self.ids = model, tokenizer, ids
        self.forwards = 0
        self.probabilities = self.next(ids[None])[0]
        self.target = int(self.probabilities.argmax()) if target is None else target

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return len(self.ids)

    @property
    def probability(self) -> float:
        """Of the target behind the prompt."""
        return float(self.probabilities[self.target])

    @property
    def embeddings(self) -> Tensor:
        """Input embeddings of the prompt, ``[length, width]``, detached."""
        found: Tensor = self.model.get_input_embeddings()(self.ids).detach()
        return found

    @property
    def fixed(self) -> Tensor:
        """Which tokens are special, such as the begin of text, and so never replaced: bool ``[length]``."""
        special = getattr(self.tokenizer, "all_special_ids", None) or []
        return torch.isin(self.ids, torch.tensor(special, dtype=torch.long))

    @torch.no_grad()
    def next(self, prompts: Tensor) -> Tensor:
        """Probabilities of the next token behind each prompt, ``[rows, vocabulary]``.

        Prompts are token ids ``[rows, length]``, or input embeddings ``[rows, length, width]``.
        """
        size = max(1, BATCH_TOKENS // prompts.shape[1])
        return torch.cat([self._last(rows).softmax(-1) for rows in torch.split(prompts, size)])

    def log_probability(self, embeddings: Tensor) -> Tensor:
        """Of the target behind each row of embeddings ``[rows, length, width]``, with its gradient."""
        return self._last(embeddings).log_softmax(-1)[:, self.target]

    def _last(self, prompts: Tensor) -> Tensor:
        """Logits of the last position in float32; those of the others are not computed where that can be."""
        self.forwards += len(prompts)
        name = "inputs_embeds" if prompts.is_floating_point() else "input_ids"
        only = {"logits_to_keep": 1} if _keeps_logits(self.model) else {}
        with evaluating(self.model):
            logits: Tensor = self.model(**{name: prompts}, **only, use_cache=False).logits
        return logits[:, -1].float()

    def attribution(self, raw: Tensor, **others: Any) -> Attribution:
        """The attribution of a method's numbers ``[length]``: their sizes, made to sum to 1."""
        sizes = raw.abs().double()
        scores = sizes / sizes.sum() if sizes.sum() > 0 else torch.full_like(sizes, 1 / len(sizes))
        return Attribution(
            tokens=tuple(self._text(token) for token in self.ids.tolist()),
            target=self._text(self.target),
            target_id=self.target,
            scores=tuple(scores.tolist()),
            raw=tuple(raw.double().tolist()),
            probability=self.probability,
            forwards=self.forwards,
            **others,
        )

    def _text(self, token: int) -> str:
        return str(token) if self.tokenizer is None else str(self.tokenizer.decode([token]))


@contextmanager
def with_attentions(model: Any) -> Iterator[None]:
    """Attention that returns its weights inside the block; fast kernels give none."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def check_ids(model: Any, ids: Any) -> None:
    """Raise `InputError` unless ``ids`` are token ids ``[length]`` that the model can take."""
    if not isinstance(ids, Tensor) or ids.ndim != 1 or not len(ids) or ids.dtype != torch.long:
        raise InputError("ids", "are not a prompt: give whole numbers of shape [one or more tokens]")
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
        raise InputError("ids", f"are not all in the model's vocabulary, 0..{vocabulary - 1}")
    limit = context_length(model)
    if limit is not None and len(ids) > limit:
        raise InputError("ids", f"{len(ids)} tokens are more than the model's {limit}")


def check_target(model: Any, target: Any) -> None:
    """Raise `InputError` unless ``target`` is None or a token of the model's vocabulary."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if target is not None and not (type(target) is int and 0 <= target < vocabulary):
        raise InputError("target", f"{target!r} is not a token of the vocabulary, 0..{vocabulary - 1}")


def _keeps_logits(model: Any) -> bool:
    return "logits_to_keep" in inspect.signature(model.forward).parameters
