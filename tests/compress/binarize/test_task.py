"""The task from its inputs to its figures and files, and fine-tuning on labelled texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from etude import models
from etude.compress.binarize import BiPFT, FullPrecisionEncoder
from etude.compress.binarize.checks import masked
from etude.compress.binarize.downstream import (
    Protocol,
    classifier,
    drawn,
    epoch,
    finetune,
    judge,
    spearman,
)
from etude.compress.binarize.saving import load
from etude.compress.binarize.task import TASK, Inputs
from etude.data.labelled import Examples
from etude.data.labelled import load as load_set
from etude.errors import InputError
from etude.seeds import seeded

SMALL = {"samples": 16, "length": 32, "segments": 8, "epochs": 1, "tuning_batch": 4}


def labelled(folder: Path) -> str:
    rows = ["label\ttext", *(f"{word}\tIt was a {word} day, he said." for word in ("fine", "dark") * 4)]
    folder.mkdir()
    for part in ("train.tsv", "test.tsv"):
        (folder / part).write_text("\n".join(rows) + "\n")
    return str(folder)


def test_a_run_from_inputs_to_files(tmp_path: Path) -> None:
    sets = (labelled(tmp_path / "days"),)
    case = TASK.open(Inputs(**SMALL, sets=sets, factors=(1.0, 4.0), tuning_rate=2e-3))
    method = BiPFT(steps=2, batch=4)
    case.check(method)
    trial, plain = case.trial(0), case.trial(0)
    trial.apply(method)
    plain.apply(FullPrecisionEncoder())
    ours, dense = trial.score(), plain.score()
    assert ours.keys() == dense.keys() == {"accuracy", "mlm_loss", "spread", "bits_per_weight", "size_mb"}
    assert dense["mlm_loss"] < ours["mlm_loss"]
    assert dense["bits_per_weight"] == 32 and 1 <= ours["bits_per_weight"] < 1.25
    assert ours["size_mb"] < 0.11 * dense["size_mb"]

    trial.save(tmp_path / "binary")
    made, tokenizer = load(tmp_path / "binary" / "days")
    expected = trial.classifiers[sets[0]][0]
    batch = tokenizer(["It was a dark day."], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(made(**batch).logits, expected(**batch).logits)
    assert made.config.id2label == {0: "dark", 1: "fine"}
    assert type(load(tmp_path / "binary" / "pretrained")[0]).__name__ == "BertForPreTraining"
    plain.save(tmp_path / "plain")
    assert type(models.load(tmp_path / "plain" / "days")[0]).__name__ == "BertForSequenceClassification"


def test_what_does_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="factors"):
        Inputs(factors=())
    with pytest.raises(InputError, match="shaped like BERT"):
        TASK.open(Inputs(model="nano-llama", sets=()))
    with pytest.raises(InputError, match="length"):
        TASK.open(Inputs(length=1000, sets=()))
    with pytest.raises(InputError, match="sets"):
        TASK.open(Inputs(sets=(str(tmp_path / "nothing"),)))


def test_an_encoder_without_a_pooler_gets_one() -> None:
    examples = Examples((("a",),), (1.5,), None)
    made = classifier(masked(), examples, models.load("nano-bert")[1])
    assert made.config.problem_type == "regression" and made.num_labels == 1
    assert made(input_ids=torch.tensor([[5, 6]])).logits.shape == (1, 1)


@pytest.mark.parametrize(("classes", "least"), [(None, 0.85), (("dark", "fine"), 1.0)])
def test_an_encoder_learns_scores_and_classes(classes: tuple[str, ...] | None, least: float) -> None:
    """Scores that are all 0 or 1 correlate with distinct predictions by 0.87 at most."""
    texts = tuple((f"It was a {word} day,", "he said.") for word in ("fine", "dark") * 8)
    examples = Examples(texts, (1.0, 0.0) * 8, classes)
    model, tokenizer = models.load("nano-bert", architecture="BertForPreTraining")
    with seeded(0):
        made = finetune(model, examples, tokenizer, Protocol(5, 4, 1e-3, 32))
    assert judge(made, examples, tokenizer, 32) >= least


def test_an_epoch_sees_every_example_once() -> None:
    ids = [([1] * (1 + at % 7), [0] * (1 + at % 7)) for at in range(45)]
    seen = torch.cat(list(epoch(ids, 4)))
    assert sorted(seen.tolist()) == list(range(45))


def test_examples_are_drawn_by_seed(tmp_path: Path) -> None:
    train, _ = load_set(labelled(tmp_path / "days"))
    few = [drawn(train, 3, seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] and len(few[0]) == 3
    assert drawn(train, None, 0) is train


def test_ranks_of_ties_are_their_mean() -> None:
    left, right = torch.tensor([1.0, 2.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 2.0, 4.0])
    ranks = torch.tensor([[1.0, 2.5, 2.5, 4.0], [1.0, 3.0, 2.0, 4.0]])
    assert spearman(left, right) == pytest.approx(torch.corrcoef(ranks)[0, 1].item())
    assert spearman(left, torch.ones(4)) == 0.0
