"""Binary pre-training: its loss, its teacher, and what it learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from etude.compress.binarize import BiPFT, BiT
from etude.compress.binarize.attention import Structure
from etude.compress.binarize.checks import TOKENIZER, corpus, masked, pairs, roberta
from etude.compress.binarize.encoder import binarise, forward_arguments, structure_of
from etude.compress.binarize.layers import BinaryEmbedding, BinaryLinear
from etude.compress.binarize.pretraining import batches, masked_loss, pretraining_loss
from etude.compress.binarize.signs import binary_weight
from etude.data.masked import pretraining
from etude.errors import InputError
from etude.seeds import seeded


@pytest.mark.parametrize("make", [pairs, masked, roberta])
def test_every_linear_layer_of_the_encoder_is_binary_and_no_head_is(make) -> None:  # type: ignore[no-untyped-def]
    model = make()
    binarise(model, Structure(rank=1))
    kinds = {name: type(module) for name, module in model.named_modules()}
    encoder = model.base_model_prefix
    for name, kind in kinds.items():
        if name.startswith(f"{encoder}.") and ".estimators." not in name:
            assert kind is not torch.nn.Linear, name
        elif not name.startswith(f"{encoder}."):
            assert kind is not BinaryLinear, name
    embeddings = [name for name, kind in kinds.items() if kind is BinaryEmbedding]
    assert embeddings == [f"{encoder}.embeddings.word_embeddings"]


def test_a_tied_head_goes_on_using_the_embedding_as_it_is() -> None:
    model = pairs()
    binarise(model, Structure())
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


@torch.no_grad()
def test_the_loss_is_that_of_labels_and_of_what_separates_student_and_teacher() -> None:
    teacher, student = pairs(), pairs(1)
    batch = pretraining(corpus()["input_ids"], TOKENIZER)
    found, taught = (
        model(**forward_arguments(batch), output_hidden_states=True) for model in (student, teacher)
    )
    tokens = functional.cross_entropy(found.prediction_logits.flatten(0, 1), batch["labels"].flatten())
    following = functional.cross_entropy(found.seq_relationship_logits, batch["next_sentence_label"])
    soft = taught.seq_relationship_logits.softmax(-1) * found.seq_relationship_logits.log_softmax(-1)
    states = zip(found.hidden_states, taught.hidden_states, strict=True)
    apart = sum((own - other).square().mean() for own, other in states) / len(found.hidden_states)
    expected = tokens + following - soft.mean() + apart
    torch.testing.assert_close(pretraining_loss(student, batch, teacher), expected)
    torch.testing.assert_close(pretraining_loss(student, batch), tokens + following)
    assert masked_loss(student, batch, size=4) == pytest.approx(tokens.item(), rel=1e-5)


def test_a_model_without_the_head_for_pairs_learns_without_them() -> None:
    model = masked()
    batch = pretraining(corpus()["input_ids"], TOKENIZER)
    tokens = functional.cross_entropy(
        model(**forward_arguments(batch)).logits.flatten(0, 1), batch["labels"].flatten()
    )
    torch.testing.assert_close(pretraining_loss(model, batch), tokens)


def test_estimators_of_zero_are_bipft_a() -> None:
    with_rank, without = pairs(), pairs()
    binarise(with_rank, Structure(rank=2))
    binarise(without, Structure())
    with torch.no_grad():
        for name, parameter in with_rank.named_parameters():
            if ".estimators." in name:
                parameter.zero_()
        ids = corpus()["input_ids"]
        logits = [model(input_ids=ids).prediction_logits for model in (with_rank, without)]
    assert torch.equal(*logits)


def test_pre_training_learns_and_its_teacher_does_not() -> None:
    words = corpus()["input_ids"][:2].repeat(3, 1)
    batch = pretraining(words, TOKENIZER)
    losses = {}
    for name, method in {"none": BiT(), "trained": BiPFT(steps=80, batch=6, learning_rate=1e-2)}.items():
        model = pairs()
        with seeded(0):
            method.binarize(model, {"input_ids": words}, TOKENIZER)
        losses[name] = masked_loss(model, batch)
        assert not model.training
    assert losses["trained"] < 0.8 * losses["none"]


def test_weights_stay_binary_while_those_behind_them_learn() -> None:
    model = pairs()
    before = copy.deepcopy(model.bert.encoder.layer[0].output.dense.weight)
    BiPFT(steps=2, batch=4).binarize(model, corpus(), TOKENIZER)
    weight = model.bert.encoder.layer[0].output.dense.weight
    assert not torch.equal(weight, before)
    assert binary_weight(weight).unique().numel() == 2
    assert structure_of(model) == Structure(rank=1)
    estimators = model.bert.encoder.layer[0].attention.self.estimators
    width = model.config.hidden_size
    assert sum(parameter.numel() for parameter in estimators.parameters()) == 5 * (width + 1)


def test_a_binary_model_is_not_made_binary_again() -> None:
    model = pairs()
    BiT().binarize(model, corpus(), TOKENIZER)
    with pytest.raises(InputError, match="binary already"):
        BiT().binarize(model, corpus(), TOKENIZER)


def test_epochs_are_shuffled_and_masked_anew() -> None:
    draw = torch.Generator().manual_seed(0)
    drawn = list(batches(corpus(), TOKENIZER, draw, size=4, steps=3))
    assert [len(batch["labels"]) for batch in drawn] == [4, 4, 4]
    assert not torch.equal(drawn[0]["labels"], drawn[1]["labels"])
