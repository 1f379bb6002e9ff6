"""What an encoder is for: fine-tuned on labelled texts, without a teacher, and judged on others."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, split
from torch.nn import functional

from etude.compress.binarize.encoder import forward_arguments, structure_of
from etude.compress.binarize.layers import BinaryPooler
from etude.data.labelled import Examples
from etude.progress import track

_POOL = 8
"""Batches that are put together from texts of like length, so that little is padded."""


@dataclass(frozen=True)
class Protocol:
    """How every encoder is fine-tuned: AdamW at a constant rate, without decay of weights.

    Parameters
    ----------
    epochs : over the training examples.
    batch : examples in a step.
    learning_rate : of AdamW.
    length : tokens at which texts are cut off.
    """

    epochs: int
    batch: int
    learning_rate: float
    length: int


def classifier(model: Any, examples: Examples, tokenizer: Any) -> Any:
    """A model of transformers for sequence classification on a copy of a masked language model's encoder.

    One output predicts scores, several predict classes. Where the encoder has no pooler and the
    classifier wants one, it gets one, binary in a binary encoder.
    """
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(model.config)
    labels = examples.classes or ("score",)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = "regression" if examples.classes is None else "single_label_classification"
    config.pad_token_id = tokenizer.pad_token_id
    made = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    encoder, wanted = copy.deepcopy(model.base_model), getattr(made.base_model, "pooler", None)
    structure = structure_of(model)
    if wanted is not None and getattr(encoder, "pooler", None) is None:
        encoder.pooler = wanted if structure is None else BinaryPooler(wanted, structure.elastic)
    setattr(made, made.base_model_prefix, encoder)
    if structure is not None:
        made.set_attn_implementation("eager")
    return made


def finetune(model: Any, examples: Examples, tokenizer: Any, protocol: Protocol) -> Any:
    """Train a `classifier` on all examples, and give it back in evaluation mode; ``model`` stays as it is."""
    made = classifier(model, examples, tokenizer)
    trained = [parameter for parameter in made.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=protocol.learning_rate, weight_decay=0.0)
    ids = encode(examples, tokenizer, protocol.length)
    targets = torch.tensor(examples.targets)
    made.train()
    for _ in track(range(protocol.epochs), "fine-tuning"):
        for rows in epoch(ids, protocol.batch):
            logits = made(**forward_arguments(padded(ids, rows, tokenizer))).logits
            loss = loss_of(logits, targets[rows], examples.classes is not None)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return made.eval()


def loss_of(logits: Tensor, targets: Tensor, classes: bool) -> Tensor:
    """Cross-entropy of classes, squared error of scores."""
    if classes:
        return functional.cross_entropy(logits, targets.long())
    return functional.mse_loss(logits[:, 0], targets)


@torch.no_grad()
def judge(made: Any, examples: Examples, tokenizer: Any, length: int, batch: int = 64) -> float:
    """Accuracy over classes; Spearman's correlation with scores."""
    ids, targets = encode(examples, tokenizer, length), torch.tensor(examples.targets)
    order = torch.tensor(sorted(range(len(ids)), key=lambda at: len(ids[at][0])))
    chunks = split(order, batch)
    logits = [made(**forward_arguments(padded(ids, rows, tokenizer))).logits for rows in chunks]
    found = torch.empty_like(torch.cat(logits))
    found[order] = torch.cat(logits)
    if examples.classes is None:
        return spearman(found[:, 0], targets)
    return (found.argmax(-1) == targets).double().mean().item()


def spearman(left: Tensor, right: Tensor) -> float:
    """Rank correlation, ties at their mean rank; 0 where one side is constant.

    Examples
    --------
    >>> spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 7.0, 7.0]))
    0.866...
    """
    ranks = torch.stack([_ranks(left), _ranks(right)])
    if bool((ranks.std(1) == 0).any()):
        return 0.0
    return float(torch.corrcoef(ranks)[0, 1])


def _ranks(values: Tensor) -> Tensor:
    _, where, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[where]


Ids = tuple[list[int], list[int]]
"""The token ids and token types of one example."""


def encode(examples: Examples, tokenizer: Any, length: int) -> list[Ids]:
    """Examples in token ids, special tokens added, cut off at ``length``."""
    columns = [list(column) for column in zip(*examples.texts, strict=True)]
    found = tokenizer(*columns, truncation=True, max_length=length, return_token_type_ids=True, padding=False)
    return list(zip(found["input_ids"], found["token_type_ids"], strict=True))


def epoch(ids: Sequence[Ids], size: int) -> Iterator[Tensor]:
    """All examples once in a random order, those of a batch of like length; row numbers ``[size]``."""
    order = torch.randperm(len(ids))
    for pool in split(order, _POOL * size):
        alike = sorted(pool.tolist(), key=lambda at: len(ids[at][0]))
        found = split(torch.tensor(alike), size)
        yield from (found[at] for at in torch.randperm(len(found)).tolist())


def padded(ids: Sequence[Ids], rows: Tensor, tokenizer: Any) -> dict[str, Tensor]:
    """A batch of forward arguments, filled up to its longest example."""
    chosen = [ids[at] for at in rows.tolist()]
    width = max(len(tokens) for tokens, _ in chosen)
    pad = tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([tokens + [pad] * (width - len(tokens)) for tokens, _ in chosen]),
        "token_type_ids": torch.tensor([types + [0] * (width - len(types)) for _, types in chosen]),
        "attention_mask": torch.tensor(
            [[1] * len(tokens) + [0] * (width - len(tokens)) for tokens, _ in chosen]
        ),
    }


def drawn(examples: Examples, count: int | None, seed: int) -> Examples:
    """At most ``count`` of the examples, at random."""
    if count is None or count >= len(examples):
        return examples
    rows = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    texts, targets = tuple(examples.texts[at] for at in rows), tuple(examples.targets[at] for at in rows)
    return Examples(texts, targets, examples.classes)
