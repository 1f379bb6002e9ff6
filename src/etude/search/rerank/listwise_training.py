"""Training of listwise rerankers: windows with their right order, and a language model that learns it."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from etude.errors import InputError
from etude.models.boundary import quiet
from etude.progress import track
from etude.search.collection import Document, Judged, Run
from etude.search.embedder import padded
from etude.search.rerank.causal import Causal
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_losses import FACTORS, RANK_LOSSES, RankLoss, importance, label_loss
from etude.seeds import seeded

PART_TOKENS = 8192
"""Tokens of one backward pass, about; the gradients of a step's parts are added."""


@dataclass(frozen=True)
class Lesson:
    """One window and its right order.

    Parameters
    ----------
    query : the question.
    documents : of the window, as they are shown.
    order : positions of the documents, best first.
    """

    query: str
    documents: Sequence[Document]
    order: Sequence[int]


@dataclass(frozen=True)
class Course:
    """How a model is trained.

    Parameters
    ----------
    epochs : over the lessons.
    rate : peak learning rate of AdamW, without weight decay; a cosine to 0 after the warm-up.
    warm_up : steps of linear warm-up.
    batch : lessons of a step.
    noise : NEFTune's alpha: uniform noise on the input embeddings of an example of L tokens and width d, at
        most ``noise / sqrt(L * d)``; 0 for none.
    language : whether the answer's tokens are learnt.
    ranking : the loss of the identifiers' logits.
    weighted : whether the answer's tokens count by their rank (`importance`).
    lora : rank of low-rank adapters that learn in the weights' place; 0 for the weights themselves.
    """

    epochs: int
    rate: float
    warm_up: int = 50
    batch: int = 32
    noise: float = 5.0
    language: bool = True
    ranking: RankLoss = "ranknet"
    weighted: bool = False
    lora: int = 0


def lessons_of(
    judged: Judged, documents: Mapping[str, Document], run: Run, window: int, seed: int
) -> list[Lesson]:
    """A lesson for each judged query: candidates of the run, shuffled, the better judged ones first.

    The candidates of one grade stand as in the run.
    """
    draw = random.Random(seed)
    lessons = []
    for query, text in judged.queries.items():
        names = [*run[query]][:window]
        shown = draw.sample(names, len(names))
        right = sorted(names, key=lambda name: -max(0, judged.qrels[query].get(name, 0)))
        if len(names) > 1:
            lessons.append(
                Lesson(text, [documents[name] for name in shown], [shown.index(name) for name in right])
            )
    if not lessons:
        raise InputError("run", "has no query with two candidates")
    return lessons


def taught(listwise: Listwise, lessons: Sequence[Lesson], course: Course, seed: int) -> Listwise:
    """The same reranker with a trained copy of its model; draws batches and noise under the seed."""
    causal = trained(listwise.causal, [example(listwise, lesson) for lesson in lessons], course, seed)
    return replace(
        listwise, causal=causal, learnt=True, fingerprint=listwise.fingerprint if course.lora else ""
    )


@dataclass(frozen=True)
class Example:
    """A lesson in tokens, as one reranker asks for it.

    Parameters
    ----------
    prompt, target : tokens of the question and of the right answer.
    identifiers : the tokens that name the passages, as they are shown.
    ranks : of the passages, from 1.
    """

    prompt: list[int]
    target: list[int]
    identifiers: Tensor
    ranks: Tensor


def example(listwise: Listwise, lesson: Lesson) -> Example:
    """The lesson as this reranker asks for it."""
    count = len(lesson.order)
    ranks = torch.empty(count, dtype=torch.long)
    ranks[torch.tensor(lesson.order)] = torch.arange(1, count + 1)
    prompt = listwise.prompt(lesson.query, lesson.documents)
    return Example(prompt, listwise.target(lesson.order), torch.tensor(listwise.identifiers(count)), ranks)


def trained(causal: Causal, examples: Sequence[Example], course: Course, seed: int) -> Causal:
    """A copy of a language model, trained on examples, which several rerankers may ask."""
    causal = _copied(causal, course.lora, seed)
    causal.model.train()
    separators = separators_of(causal)
    weights = [parameter for parameter in causal.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=course.rate, weight_decay=0.0)
    part_size = max(1, PART_TOKENS // max(len(each.prompt) + len(each.target) for each in examples))
    steps = course.epochs * -(-len(examples) // course.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps, course.warm_up))
    with seeded(seed), torch.enable_grad(), _noisy(causal.model, course.noise):
        for _ in track(range(course.epochs), "training"):
            for batch in torch.split(torch.randperm(len(examples)), course.batch):
                optimizer.zero_grad(set_to_none=True)
                for part in torch.split(batch, part_size):
                    loss = batch_loss(causal, [examples[i] for i in part.tolist()], course, separators)
                    torch.autograd.backward(loss * (len(part) / len(batch)))
                optimizer.step()
                schedule.step()
    causal.model.eval()
    return causal


def batch_loss(causal: Causal, batch: Sequence[Example], course: Course, separators: Tensor) -> Tensor:
    """The answer's cross-entropy and the identifiers' ranking loss, as far as the course has them."""
    ids, mask = padded([each.prompt + each.target for each in batch], 0, left=True)
    most = max(len(each.target) for each in batch)
    logits = causal.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=most + 1,
    ).logits[:, :-1]  # answers end together, and each row of logits predicts the next token
    labels = torch.tensor([[-100] * (most - len(each.target)) + each.target for each in batch])
    loss: Tensor = logits.new_zeros(())
    if course.language:
        loss = loss + label_loss(logits, labels, importance(labels, separators) if course.weighted else None)
    if course.ranking != "none":
        of_list, bracket = RANK_LOSSES[course.ranking], len(causal.ids("["))
        lists = [
            of_list(row[most - len(each.target) + bracket, each.identifiers], each.ranks)
            for row, each in zip(logits, batch, strict=True)
        ]
        factor = FACTORS[course.ranking] if course.language else 1.0
        loss = loss + factor * torch.stack(lists).mean()
    return loss


def separators_of(causal: Causal) -> Tensor:
    """The tokens of this vocabulary that hold the sign between identifiers, and the end of an answer."""
    pieces = causal.ids("[A] > [B] > [1] > [2]")
    found = {token for token in pieces if ">" in causal.tokenizer.decode([token])}
    return torch.tensor(sorted({*found, *causal.ends}))


def _copied(causal: Causal, lora: int, seed: int) -> Causal:
    model = copy.deepcopy(causal.model)
    return Causal(_adapted(model, lora, seed) if lora else model, causal.tokenizer)


def _adapted(model: Any, rank: int, seed: int) -> Any:
    """The model with low-rank adapters on all linear layers of its blocks."""
    from peft import LoraConfig, get_peft_model

    with seeded(seed), quiet():
        return get_peft_model(
            model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        )


def _share(step: int, steps: int, warm_up: int) -> float:
    """Of the peak rate: up in a line, down in a cosine."""
    warm_up = min(warm_up, steps // 2)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@contextmanager
def _noisy(model: Any, alpha: float) -> Iterator[None]:
    """NEFTune (Jain et al., 2023): noise on the input embeddings."""

    def add(module: Any, inputs: Any, embedded: Tensor) -> Tensor:
        most = alpha / math.sqrt(embedded.shape[1] * embedded.shape[2])
        return embedded + torch.empty_like(embedded).uniform_(-most, most)

    hook = model.get_input_embeddings().register_forward_hook(add) if alpha else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()
