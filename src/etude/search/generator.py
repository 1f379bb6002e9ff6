"""Text from a language model: batched, with its cache kept, and what was read and written counted."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.likelihood import context_length, evaluating
from etude.progress import track


@dataclass(frozen=True)
class Generation:
    """What a model wrote.

    Parameters
    ----------
    text : up to the first stop, without spaces at its ends.
    read : tokens of the prompt that were computed; 0 for further samples of a prompt that was read once.
    generated : tokens that were written, the one that ends the text included.
    """

    text: str
    read: int
    generated: int


class Generator:
    """A causal or encoder-decoder language model that continues prompts.

    Parameters
    ----------
    model : that can generate.
    tokenizer : of the model.
    batch : tokens of prompts and answers that are computed together, at most.

    Raises
    ------
    InputError : naming ``model`` if it cannot generate or has no tokenizer.

    Examples
    --------
    >>> import etude
    >>> generator = Generator(*etude.models.load("nano-llama"))
    >>> ((first,),) = generator(["It was a dark"], tokens=4)
    >>> first.read, first.generated
    (4, 4)
    """

    def __init__(self, model: Any, tokenizer: Any, batch: int = 4096) -> None:
        if not getattr(model, "can_generate", lambda: False)():
            raise InputError("model", f"{type(model).__name__} generates no text; give a language model")
        if tokenizer is None:
            raise InputError("model", "has no tokenizer")
        self.model, self.tokenizer, self.batch = model, tokenizer, batch
        self.encodes = bool(getattr(model.config, "is_encoder_decoder", False))
        ends = getattr(model.generation_config, "eos_token_id", None)
        ends = tokenizer.eos_token_id if ends is None else ends
        self.ends: list[int] = [] if ends is None else [ends] if isinstance(ends, int) else [*ends]

    def __call__(
        self,
        prompts: Sequence[str],
        *,
        tokens: int,
        stops: Sequence[str] = (),
        samples: int = 1,
        temperature: float = 0.0,
    ) -> list[list[Generation]]:
        """Continue prompts; one that is too long for the model loses its beginning.

        Parameters
        ----------
        prompts : texts.
        tokens : that are written, at most.
        stops : texts before which an answer ends; those at its very beginning do not count.
        samples : how many continuations of each prompt.
        temperature : 0 for the likeliest token at each step; else draws from torch's generator.

        Returns
        -------
        list : for each prompt its ``samples`` generations.
        """
        ids = [self.ids(prompt)[-self.room(tokens) :] for prompt in prompts]
        written: dict[int, list[Generation]] = {}
        with torch.no_grad(), evaluating(self.model):
            for group in track([*self._groups(ids, tokens, samples)], "generating"):
                found = self._continued([ids[i] for i in group], tokens, stops, samples, temperature)
                written |= zip(group, found, strict=True)
        return [written[i] for i in range(len(prompts))]

    def ids(self, text: str) -> list[int]:
        """Token ids of a text; with the special tokens that an encoder expects."""
        return list(self.tokenizer(text, add_special_tokens=self.encodes, verbose=False)["input_ids"])

    def room(self, tokens: int) -> int:
        """How many tokens a prompt may have, if ``tokens`` are to be written.

        Raises
        ------
        InputError : naming ``tokens`` if the model's positions leave no room for a prompt.
        """
        limit = context_length(self.model)
        if limit is None:
            return 1 << 20
        room = limit if self.encodes else limit - tokens
        if room < 1:
            raise InputError("tokens", f"{tokens} leave no room for a prompt in {limit} positions")
        return room

    def framed(self, text: str) -> str:
        """What a user says, up to where the model is to answer; the text and a new line if it has no chat.

        Examples
        --------
        >>> import etude
        >>> Generator(*etude.models.load("nano-llama")).framed("Who?")
        'Who?\\n'
        """
        if not getattr(self.tokenizer, "chat_template", None):
            return text + "\n"
        messages = [{"role": "user", "content": text}]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of a text, of that many tokens at most."""
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return text if len(ids) <= tokens else str(self.tokenizer.decode(ids[: max(0, tokens)]))

    def _groups(self, ids: list[list[int]], tokens: int, samples: int) -> Iterator[list[int]]:
        """Prompts of like length together, so that little is padded; one by one where each has samples."""
        group: list[int] = []
        for place in sorted(range(len(ids)), key=lambda i: len(ids[i])):
            if group and (samples > 1 or (len(group) + 1) * (len(ids[place]) + tokens) > self.batch):
                yield group
                group = []
            group.append(place)
        if group:
            yield group

    def _continued(
        self, ids: list[list[int]], tokens: int, stops: Sequence[str], samples: int, temperature: float
    ) -> list[list[Generation]]:
        # An empty text begins with what ends one; where nothing does, with token 0.
        ids = [each or [self._end] for each in ids]
        prompt, mask = _padded(ids, self._end)
        given: dict[str, Any] = {"attention_mask": mask.repeat_interleave(samples, 0)}
        if samples > 1 and not self.encodes:
            renamed = "cache" in inspect.signature(self.model.forward).parameters  # by transformers, in 2026
            given["cache" if renamed else "past_key_values"] = self._read(prompt, samples)
        start = 1 if self.encodes else prompt.shape[1]
        stop = _Stops(self.tokenizer, stops, start)
        found = self.model.generate(
            prompt.repeat_interleave(samples, 0),
            generation_config=self._config(tokens, temperature),
            stopping_criteria=[stop] if stops else None,
            **given,
        )
        shared = samples > 1 and not self.encodes
        read = [0 if shared and row % samples else len(ids[row // samples]) for row in range(len(found))]
        rows = [self._generation(row[start:], stop, each) for row, each in zip(found, read, strict=True)]
        return [rows[at : at + samples] for at in range(0, len(rows), samples)]

    def decoded(self, states: Tensor, *, read: int, tokens: int) -> Generation:
        """What the decoder of an encoder-decoder model writes, the likeliest tokens.

        Parameters
        ----------
        states : of the encoder, ``[1, tokens, width]``; of several texts, put together.
        read : tokens that it took to make them.
        tokens : that are written, at most.
        """
        from transformers.modeling_outputs import BaseModelOutput

        found = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=torch.ones(states.shape[:2], dtype=torch.long),
            generation_config=self._config(tokens, 0.0),
        )
        return self._generation(found[0, 1:], _Stops(self.tokenizer, (), 1), read)

    @property
    def _end(self) -> int:
        return self.ends[0] if self.ends else 0

    def _config(self, tokens: int, temperature: float) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=tokens,
            do_sample=temperature > 0,
            temperature=temperature or None,
            top_k=0 if temperature > 0 else None,
            eos_token_id=self.ends or None,
            pad_token_id=self._end,
            decoder_start_token_id=getattr(self.model.config, "decoder_start_token_id", None),
        )

    def _read(self, prompt: Tensor, samples: int) -> Any:
        """The cache of a prompt but for its last token, read once for all samples."""
        if prompt.shape[1] == 1:
            return None
        found = self.model(prompt[:, :-1], use_cache=True, logits_to_keep=1)
        cache = found.cache if hasattr(found, "cache") else found.past_key_values
        cache.batch_repeat_interleave(samples)
        return cache

    def _generation(self, row: Tensor, stop: _Stops, read: int) -> Generation:
        ids = row.tolist()
        ended = next((place for place, token in enumerate(ids) if token in self.ends), len(ids))
        for count in range(1, ended + 1) if stop.texts else ():
            if (place := stop.place(ids[:count])) is not None:  # what others were still writing is padding
                text = stop.text(ids[:count])[:place]
                return Generation(text.strip(), read, count)
        return Generation(stop.text(ids[:ended]).strip(), read, min(ended + 1, len(ids)))


class _Stops:
    """Says after each token which rows have come to a stop (a stopping criterion of transformers)."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], start: int) -> None:
        self.tokenizer, self.texts, self.start = tokenizer, texts, start

    def __call__(self, ids: Tensor, scores: Any, **_: Any) -> Tensor:
        done = [self.place(row) is not None for row in ids[:, self.start :].tolist()]
        return torch.tensor(done, device=ids.device)

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def place(self, ids: Sequence[int]) -> int | None:
        """Where the first stop begins after the first word, None if there is none."""
        text = self.text(ids)
        begin = len(text) - len(text.lstrip())
        places = [text.find(stop, begin) for stop in self.texts]
        return min((place for place in places if place > begin), default=None)


def _padded(ids: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Rows that end together, and which of their places count."""
    width = max(map(len, ids))
    rows = torch.tensor([[pad] * (width - len(each)) + each for each in ids])
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in ids])
    return rows, mask
