"""Language models answer as transformers makes them answer, whatever is kept of earlier questions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from etude import models
from etude.errors import InputError
from etude.search.rerank.causal import Causal
from etude.search.rerank.checks import tiny_decoder
from etude.search.rerank.seq2seq import Seq2Seq

TEXTS = [
    "The night was",
    "The night was very dark, and",
    "The sea",
    "The",
    "A wholly different beginning of a text",
]


@pytest.fixture(params=["nano-llama", "tiny"])
def causal(request: pytest.FixtureRequest) -> Causal:
    return Causal.load(request.param if request.param == "nano-llama" else tiny_decoder())


def direct(causal: Causal, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = causal.model(input_ids=torch.tensor([ids])).logits[0]
    return logits


@pytest.mark.parametrize("chosen", [[0, 1], [0, 1, 2, 3], [4], [1, 4, 0], [3, 3]])
def test_next_logits(causal: Causal, chosen: list[int]) -> None:
    rows = [causal.ids(TEXTS[place]) for place in chosen]
    expected = torch.stack([direct(causal, row)[-1] for row in rows])
    for _ in range(2):  # the second time with what was kept
        assert torch.allclose(causal.next_logits(rows), expected, atol=1e-4)
    with torch.no_grad():
        assert torch.allclose(causal.logits(rows), expected, atol=1e-4)


def test_what_was_kept_of_one_question_serves_the_next(causal: Causal) -> None:
    seen: list[int] = []
    causal.model.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    first = causal.ids("It was the best of times, it was")
    causal.next_logits([first])
    causal.next_logits([[*first, first[0]]])
    assert sum(seen) == len(first) + 2  # all of the first, then what had not been kept of the second


def test_generation_is_that_of_transformers(causal: Causal) -> None:
    rows = [causal.ids(text) for text in TEXTS]
    for row, written in zip(rows, causal.generate(rows, 9), strict=True):
        expected = causal.model.generate(torch.tensor([row]), max_new_tokens=9, do_sample=False)
        assert written == expected[0, len(row) :].tolist()


def test_log_likelihoods(causal: Causal) -> None:
    ends = causal.ids(" a dark wood")
    rows = [causal.ids(text) + ends for text in TEXTS]
    expected = []
    for row in rows:
        logged = direct(causal, row).log_softmax(1)[-len(ends) - 1 : -1]
        expected.append(logged[range(len(ends)), ends].mean())
    assert torch.allclose(causal.log_likelihoods(rows, len(ends)), torch.stack(expected), atol=1e-5)


class _Chat:
    """A tokenizer whose template knows no system's role."""

    eos_token_id = 0
    chat_template = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        from jinja2.exceptions import TemplateError

        if messages[0]["role"] == "system":
            raise TemplateError("no such role")
        return "|".join(message["content"] for message in messages)

    def __call__(self, text: str, **settings: Any) -> Any:
        return self.tokenizer(text, **settings)


def test_a_template_without_a_system_has_it_in_the_question() -> None:
    model, tokenizer = models.load("nano-llama")
    causal = Causal(model, _Chat(tokenizer))
    assert tokenizer.decode(causal.prompt("asks", "rules", opened="[")) == "rules\nasks["


def test_what_is_no_causal_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"^model: "):
        Causal.load("nano-bert")
    with pytest.raises(InputError, match=r"^model: .*no tokenizer"):
        Causal(models.load("nano-llama")[0], None)
    with pytest.raises(InputError, match=r"^model: "):
        Seq2Seq(*models.load("nano-llama"))


def test_t5_answers_as_transformers_does() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    _, tokenizer = models.load("nano-llama")
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, pad_token_id=0, eos_token_id=0, **sizes)
    ).eval()
    asked = Seq2Seq(model, tokenizer)
    rows = [asked.prompt(text) for text in TEXTS]
    expected = [
        model(input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        for row in rows
    ]
    assert torch.allclose(asked.next_logits(rows), torch.stack(expected), atol=1e-5)
