"""Questions to a causal language model: the logits of the next token, or tokens one after the other.

What prompts of one call have in common at their beginning is read once, and what the model keeps of it (keys
and values) is kept for the next call too.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from etude import models
from etude.errors import InputError
from etude.models.fingerprint import fingerprint
from etude.models.likelihood import check_causal, context_length, evaluating
from etude.search.embedder import padded

BATCH_TOKENS = 4096
"""Tokens of one forward pass, padding included."""


class Causal:
    """A causal language model and its tokenizer.

    Parameters
    ----------
    model : a causal language model.
    tokenizer : its tokenizer.

    Raises
    ------
    InputError : naming ``model`` if it is no causal language model, or has no tokenizer.

    Examples
    --------
    >>> causal = Causal(*models.load("nano-llama"))
    >>> rows = [causal.ids("The night was"), causal.ids("The night was very")]
    >>> [causal.tokenizer.decode(int(row.argmax())) for row in causal.next_logits(rows)]
    [' a', ' well']
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        check_causal(model)
        if tokenizer is None:
            raise InputError("model", "has no tokenizer; save one beside the weights")
        self.model = model
        self.tokenizer = tokenizer
        self._kept: tuple[list[int], Any] | None = None
        takes = inspect.signature(getattr(model, "get_base_model", lambda: model)().forward).parameters
        self._cache = "cache" if "cache" in takes else "past_key_values"

    @classmethod
    def load(cls, name_or_path: str | Path) -> Causal:
        """Load a model as `etude.models.load` does; ``"topics"`` is `etude.search.rerank.topics.decoder`."""
        return cls(*models.load(place(name_or_path)))

    @property
    def context(self) -> int | None:
        """Tokens that the model's positions reach; None if there is no limit."""
        return context_length(self.model)

    @property
    def ends(self) -> set[int]:
        """Tokens that end an answer."""
        given = getattr(self.model.generation_config, "eos_token_id", None)
        every = {*given} if isinstance(given, (list, tuple)) else {given}
        return {token for token in (*every, self.tokenizer.eos_token_id) if token is not None}

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, nothing added."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def prompt(self, user: str, system: str = "", opened: str = "") -> list[int]:
        """Token ids of a question, in the chat template of the tokenizer if it has one.

        Parameters
        ----------
        user : the question.
        system : what stands before it; part of the question where the template knows no such role.
        opened : how the answer begins.
        """
        return self.ids(self._rendered(user, system)) + (self.ids(opened) if opened else [])

    def _rendered(self, user: str, system: str) -> str:
        from jinja2.exceptions import TemplateError

        if not self.tokenizer.chat_template:
            return f"{system}\n{user} " if system else f"{user} "
        first = [{"role": "system", "content": system}] if system else []
        joined = [{"role": "user", "content": f"{system}\n{user}" if system else user}]
        settings = {"tokenize": False, "add_generation_prompt": True}
        try:
            messages = [*first, {"role": "user", "content": user}]
            rendered = self.tokenizer.apply_chat_template(messages, **settings)
        except TemplateError:
            rendered = self.tokenizer.apply_chat_template(joined, **settings)
        return str(rendered)

    def next_logits(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits of the token that follows each prompt, ``[prompts, vocabulary]``."""
        found: dict[int, Tensor] = {}
        for places in _batches([len(prompt) for prompt in prompts]):
            logits, _, _ = self._read([prompts[place] for place in places])
            found |= dict(zip(places, logits[:, -1], strict=True))
        return torch.stack([found[place] for place in range(len(prompts))])

    def log_likelihoods(self, rows: Sequence[Sequence[int]], count: int) -> Tensor:
        """Mean log-likelihood of each row's last ``count`` tokens, ``[rows]``; others come before them."""
        found = torch.empty(len(rows))
        for places in _batches([len(row) for row in rows]):
            ends = torch.tensor([[*rows[place]][-count:] for place in places])
            logits, _, _ = self._read([rows[place] for place in places], keep=count + 1)
            losses = cross_entropy(logits[:, :-1].transpose(1, 2), ends, reduction="none")
            found[places] = -losses.mean(1)
        return found

    def logits(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """As `next_logits`, in one batch and with gradients."""
        ids, mask = padded(prompts, 0, left=True)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        found: Tensor = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1
        ).logits[:, -1]
        return found

    def generate(self, prompts: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        """The likeliest token each time, until an end or ``limit`` tokens; the end included."""
        found: dict[int, list[int]] = {}
        for places in _batches([len(prompt) + limit for prompt in prompts]):
            found |= dict(
                zip(places, self._generate([prompts[place] for place in places], limit), strict=True)
            )
        return [found[place] for place in range(len(prompts))]

    @torch.no_grad()
    def _generate(self, prompts: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        ends = torch.tensor(sorted(self.ends))
        last, cache, mask = self._read(prompts)
        logits = last[:, -1]
        written: list[Tensor] = []
        open_ = torch.ones(len(prompts), dtype=torch.bool)
        while True:
            token = logits.argmax(1)
            written.append(torch.where(open_, token, -1))
            open_ = open_ & ~torch.isin(token, ends)
            if len(written) == limit or not bool(open_.any()):
                return [[int(t) for t in row if t >= 0] for row in torch.stack(written, 1)]
            positions = mask.sum(1, keepdim=True)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            with evaluating(self.model):
                logits = self.model(
                    input_ids=token[:, None],
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=True,
                    **{self._cache: cache},
                ).logits[:, -1]

    @torch.no_grad()
    def _read(self, prompts: Sequence[Sequence[int]], keep: int = 1) -> tuple[Tensor, Any, Tensor]:
        """The last logits of each prompt, the cache of all, and the mask of what is no padding."""
        shared = min(min(_common(prompts[0], prompt), len(prompt) - keep) for prompt in prompts)
        cache = self._prefix([*prompts[0][:shared]])
        if len(prompts) > 1:
            cache.batch_repeat_interleave(len(prompts))
        ids, real = padded([prompt[shared:] for prompt in prompts], 0, left=True)
        mask = torch.cat([real.new_ones(len(prompts), shared), real], 1)
        with evaluating(self.model):
            logits = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=(mask.cumsum(1) - 1).clamp(min=0)[:, shared:],
                use_cache=True,
                logits_to_keep=keep,
                **{self._cache: cache},
            ).logits
        return logits, cache, mask

    def _prefix(self, ids: list[int]) -> Any:
        """A cache that holds ``ids``; what the last one had of them is not read again."""
        from transformers import DynamicCache

        known = 0
        cache: Any = DynamicCache(config=self.model.config)
        if self._kept is not None and (known := _common(self._kept[0], ids)):
            cache = copy.deepcopy(self._kept[1])
            if known < len(self._kept[0]):
                cache.crop(known - len(self._kept[0]))
        if known < len(ids):
            with evaluating(self.model):
                self.model(
                    input_ids=torch.tensor([ids[known:]]),
                    use_cache=True,
                    logits_to_keep=1,
                    **{self._cache: cache},
                )
        self._kept = (ids, copy.deepcopy(cache)) if ids else None
        return cache

    def forget(self) -> None:
        """Keep nothing of earlier calls: for when the model's weights change."""
        self._kept = None


def restored(model: str, folder: Path | None) -> tuple[Causal, str]:
    """A model as it is, or as its reranker has learnt it, and the fingerprint of what is not in ``folder``.

    Parameters
    ----------
    model : as for `etude.models.load`.
    folder : with a whole model, or with adapters (``peft``) for ``model``; None for ``model`` itself.
    """
    if folder is None:
        return Causal.load(model), fingerprint(place(model))
    if not (folder / "adapter_config.json").is_file():
        return Causal.load(folder), ""
    from peft import PeftModel

    base = Causal.load(model)
    return Causal(PeftModel.from_pretrained(base.model, str(folder)), base.tokenizer), fingerprint(
        place(model)
    )


def place(model: str | Path) -> str | Path:
    """Where a model lies: as it was named, but for ``"topics"``, which is made first."""
    if model != "topics":
        return model
    from etude.search.rerank.topics import decoder

    return decoder()


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two rows have in common at their beginning."""
    most = min(len(first), len(second))
    return next((place for place in range(most) if first[place] != second[place]), most)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows of about one length, as many as a forward pass takes."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while order:
        count = max(1, BATCH_TOKENS // lengths[order[0]])
        yield order[:count]
        order = order[count:]
