"""A cross-encoder: a model that gives a text, or a pair of texts, one number."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from etude.errors import InputError


def load_scorer(name_or_path: str | Path, seed: int = 0) -> tuple[Any, Any]:
    """A sequence classifier with one output, and its tokenizer.

    Parameters
    ----------
    name_or_path : as for `etude.models.load`: a classifier with one output, which is taken as it is, or any
        encoder that transformers has a classifier for, which gets a new head (and pooler, where it has none).
    seed : of what is new.

    Raises
    ------
    InputError : naming ``model``, if it is neither, has another number of outputs, or lacks a tokenizer.

    Examples
    --------
    >>> model, tokenizer = load_scorer("mini-bert")
    >>> model(**tokenizer("how?", "so", return_tensors="pt")).logits.shape
    torch.Size([1, 1])
    """
    from etude.models.loading import load

    model, tokenizer = load(name_or_path)
    if tokenizer is None:
        raise InputError("model", f"{name_or_path} has no tokenizer")
    return (model if _classifies(model) else _with_head(model, seed)), tokenizer


def _classifies(model: Any) -> bool:
    if not type(model).__name__.endswith("ForSequenceClassification"):
        return False
    if model.config.num_labels != 1:
        raise InputError(
            "model", f"gives {model.config.num_labels} numbers; a cross-encoder's classifier gives one"
        )
    return True


def _with_head(model: Any, seed: int) -> Any:
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoModelForSequenceClassification

    config = copy.deepcopy(model.config)
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise InputError("model", f"transformers has no classifier on {type(model).__name__}")
    config.num_labels = 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    known = model.base_model.state_dict()
    missing, _ = made.base_model.load_state_dict(known, strict=False)
    if any(not name.startswith("pooler.") for name in missing):
        raise InputError("model", f"{type(model).__name__} lacks {missing[0]}, which its classifier needs")
    return made.eval()
