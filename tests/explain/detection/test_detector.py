"""The detector as a scikit-learn classifier: calibrated, sure only where it may be, saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from etude import models
from etude.errors import InputError
from etude.explain.examples import tokenizer

pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from etude.explain.detection import Detector, Ensemble, LogLikelihood, Pawn
from etude.explain.detection.calibration import Calibration, counted
from etude.explain.detection.fitting import split
from etude.explain.detection.quality import auroc, recall_at

SMALL = Pawn(hidden=16, features=16, gates=16, epochs=30, batch=8, rate=3e-3)


@pytest.fixture(scope="module")
def model(sharp: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model on disk."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    models.save(sharp, tokenizer(), folder)
    return str(folder)


def test_it_tells_machines_from_people(model: str, texts: tuple[list[str], list[int]]) -> None:
    detector = Detector(SMALL, model=model).fit(*texts)
    chances = detector.predict_proba(texts[0])
    assert chances.shape == (60, 2) and np.allclose(chances.sum(1), 1)
    assert (detector.predict(texts[0]) == texts[1]).mean() > 0.9
    assert is_classifier(detector)
    assert set(detector.judge(texts[0])) <= {"human", "machine", "unsure"}
    weights = detector.token_weights(texts[0][0])
    assert [token for token, _ in weights] == texts[0][0].split()[1:]
    assert sum(weight for _, weight in weights) == pytest.approx(1.0, abs=1e-5)


def test_it_draws_how_far_it_can_be_trusted(model: str, texts: tuple[list[str], list[int]]) -> None:
    detector = Detector(LogLikelihood(), model=model).fit(*texts)
    assert detector.picture(*texts, "a title").startswith(b"\x89PNG")
    with pytest.raises(InputError, match="labels"):
        detector.picture(texts[0], texts[1][1:], "a title")


def test_scikit_learn_clones_and_cross_validates_it(model: str, texts: tuple[list[str], list[int]]) -> None:
    detector = clone(Detector(LogLikelihood(), model=model))
    found = cross_val_score(detector, np.array(texts[0], object), np.array(texts[1]), cv=2, scoring="roc_auc")
    assert found.shape == (2,) and np.isfinite(found).all()


def test_saved_and_loaded_it_says_the_same(
    model: str, texts: tuple[list[str], list[int]], tmp_path: Path
) -> None:
    detector = Detector(SMALL, model=model).fit(*texts)
    detector.save(tmp_path / "detector")
    again = Detector.load(tmp_path / "detector")
    assert np.allclose(again.predict_proba(texts[0]), detector.predict_proba(texts[0]))
    assert again.judge(texts[0]) == detector.judge(texts[0])
    with pytest.raises(InputError, match=r"^model:"):
        Detector.load(tmp_path / "detector", model="nano-llama")
    (tmp_path / "detector" / "detector.json").write_text(json.dumps({"method": "pawn"}))
    with pytest.raises(InputError, match=r"^folder:"):
        Detector.load(tmp_path / "detector")


def test_scores_of_long_texts_are_means_over_windows(model: str, texts: tuple[list[str], list[int]]) -> None:
    detector = Detector(LogLikelihood(), model=model, length=8).fit(*texts)
    first, second = " ".join(texts[0][0].split()[:8]), " ".join(texts[0][40].split()[:8])
    alone = detector.decision_function([first, second])
    assert detector.decision_function([f"{first} {second}"])[0] == pytest.approx(alone.mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"labels": [0] * 60}, "labels"),
        ({"labels": [0, 1]}, "labels"),
        ({"texts": ["w1 w2", None] * 30}, "texts"),
        ({"texts": []}, "texts"),
        ({"groups": [1, 2]}, "groups"),
        ({"groups": [0] * 60}, "groups"),
        ({"error": 0.7}, "error"),
        ({"model": "no-such-model"}, "model"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    model: str, texts: tuple[list[str], list[int]], changes: dict[str, Any], field: str
) -> None:
    given = {"texts": texts[0], "labels": texts[1], "groups": None, "model": model, "error": 0.1} | changes
    detector = Detector(LogLikelihood(), model=given["model"], error=given["error"])
    with pytest.raises(InputError, match=f"^{field}:"):
        detector.fit(given["texts"], given["labels"], given["groups"])


def test_before_it_is_fitted_it_says_so(model: str) -> None:
    with pytest.raises(NotFittedError):
        Detector(model=model).predict(["w1 w2"])


def test_groups_are_never_divided() -> None:
    labels = [0, 1] * 30
    groups = [n // 4 for n in range(60)]
    for seed in range(5):
        train, rest = split(labels, groups, 3, seed)
        assert not {groups[i] for i in train} & {groups[i] for i in rest}
        assert abs(sum(labels[i] for i in rest) / len(rest) - 0.5) < 0.05


def test_verdicts_are_wrong_as_seldom_as_promised() -> None:
    """Over many draws of calibration and test texts of the same kind, for both classes."""
    draw = torch.Generator().manual_seed(0)
    wrong = []
    for _ in range(200):
        scores = torch.randn(200, generator=draw) + torch.tensor([0.0, 1.5]).repeat(100)
        labels = torch.tensor([0, 1]).repeat(100)
        made = Calibration.of(scores[:100], labels[:100])
        verdicts = made.verdicts(scores[100:], error=0.1)
        wrong.append(
            [
                sum(v == w for v, y in zip(verdicts, labels[100:], strict=True) if y == k) / 50
                for k, w in ((0, "machine"), (1, "human"))
            ]
        )
    assert torch.tensor(wrong).mean(0).tolist() == pytest.approx([0.09, 0.09], abs=0.02)


def test_with_few_calibration_texts_it_is_unsure() -> None:
    made = Calibration.of(torch.arange(6.0), torch.tensor([0, 0, 0, 1, 1, 1]))
    assert set(made.verdicts(torch.tensor([-9.0, 9.0]), error=0.05)) == {"unsure"}
    with pytest.raises(InputError, match=r"^rate:"):
        made.threshold(0.05)


def test_probabilities_rise_with_the_score_and_stay_inside() -> None:
    made = Calibration.of(torch.arange(20.0), torch.tensor([0, 1]).repeat_interleave(10))
    chances = made.probabilities(torch.tensor([-5.0, 9.5, 30.0]))
    assert 0 < chances[0] < chances[1] < chances[2] < 1
    assert float(chances[1]) == pytest.approx(0.5, abs=1e-6)


def test_figures_agree_with_scikit_learns() -> None:
    from sklearn.metrics import roc_auc_score

    torch.manual_seed(0)
    scores, labels = torch.randn(80).round(decimals=1), torch.randint(2, (80,))
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert recall_at(torch.arange(100.0), torch.tensor([0, 1]).repeat_interleave(50), 0.05) == 1.0
    assert counted(["unsure"], [1])[0] == 0.0


def test_an_ensemble_averages_logits_and_calibrates_them(
    model: str, texts: tuple[list[str], list[int]]
) -> None:
    several = [Detector(SMALL, model=model, length=length) for length in (8, 16)]
    ensemble = Ensemble(several, seed=1).fit(*texts)
    alone = np.stack([each.decision_function(texts[0]) for each in ensemble.detectors_])
    assert np.allclose(ensemble.decision_function(texts[0]), alone.mean(0))
    assert auroc(torch.from_numpy(ensemble.decision_function(texts[0])), torch.tensor(texts[1])) > 0.9
    assert set(ensemble.judge(texts[0])) <= {"human", "machine", "unsure"}
    with pytest.raises(InputError, match=r"^detectors:"):
        Ensemble([several[0], Detector(LogLikelihood(), model=model)]).fit(*texts)
    with pytest.raises(NotFittedError):
        Ensemble(several).predict(["w1 w2"])
