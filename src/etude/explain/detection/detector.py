"""A detector of generated text as a scikit-learn classifier of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

from etude.errors import InputError, unknown
from etude.explain.detection import fitting
from etude.explain.detection.calibration import Calibration, check_error
from etude.explain.detection.fitting import Fitted
from etude.explain.detection.judging import Judge
from etude.explain.detection.pawn import Pawn
from etude.explain.detection.reading import Reader, check_texts, opened
from etude.explain.detection.scorer import Scorer, check_labels
from etude.files import new_folder
from etude.method import parameters
from etude.seeds import seeded

FACTS, TENSORS = "detector.json", "detector.safetensors"


class Detector(Judge):
    """Tell texts of machines (1) from texts of people (0), and say so where it is not sure.

    Parameters
    ----------
    method : an instance of a method of detection, such as ``Pawn()`` or ``FastDetectGPT()``; None for `Pawn`.
    model : name or folder of the frozen language model that reads the texts.
    observer : of a second one with the same vocabulary, for `Binoculars` and `FastDetectGPT`; None for none.
    length : tokens read at once; longer texts are read in windows whose scores are averaged. None for 512,
        or as many as the model takes if fewer.
    error : share of people's texts that may be called machine, and of machines' that may be called human.
    folds : a detector is trained on all but one of them and calibrated on that one.
    seed : of the folds, and of what the method draws.

    Attributes
    ----------
    classes_ : ``[0, 1]``.
    fitted_ : the trained scorer and its calibration.

    Raises
    ------
    InputError : from `fit`, naming the argument that cannot be used.

    Examples
    --------
    >>> from etude.explain.detection import Detector, LogLikelihood
    >>> people = ["It fig a sofa to egg.", "Seven odd ducks quilted.", "Opal bricks hum at Ruth."]
    >>> machines = ["It was a good thing to do.", "He was not to be seen.", "I do not know what to say."]
    >>> detector = Detector(LogLikelihood(), model="nano-llama").fit(people + machines, [0, 0, 0, 1, 1, 1])
    >>> detector.predict(["It was not to be done."]), detector.judge(["It was not to be done."])
    (array([1]), ['unsure'])
    """

    def __init__(
        self,
        method: Any = None,
        model: str = "nano-llama",
        observer: str | None = None,
        length: int | None = None,
        error: float = 0.05,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        self.method = method
        self.model = model
        self.observer = observer
        self.length = length
        self.error = error
        self.folds = folds
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Any, groups: Sequence[Any] | None = None) -> Detector:
        """Read the texts, train the method and calibrate it.

        Parameters
        ----------
        texts : of people and of machines.
        labels : 1 for a machine, 0 for a person.
        groups : what texts share (a source, an author, a prompt): they are not divided by the folds.
        """
        check_error(self.error)
        fitting.check_installed()
        check_texts(texts)
        check_labels(labels, len(texts))
        fitting.split(labels, groups, self.folds, self.seed)
        readings = self._opened().read(texts)
        with seeded(self.seed):
            self.fitted_ = fitting.fit(
                self.method or Pawn(), readings, labels, groups, folds=self.folds, seed=self.seed
            )
        self.classes_ = np.array([0, 1])
        return self

    def token_weights(self, text: str) -> list[tuple[str, float]]:
        """Each token of a text's beginning but the first, and what it counts for PAWN; sums to 1.

        Raises
        ------
        InputError : naming ``method`` if it weighs no tokens.
        """
        scorer = self._fitted.scorer
        if not hasattr(scorer.method, "token_weights"):
            raise InputError("method", f"{scorer.method.name} weighs no tokens; take pawn")
        reader = self._opened()
        reading = reader.read([text])[0]
        weights = scorer.method.token_weights(scorer.tensors, reading)
        tokens = [str(reader.tokenizer.decode([token])) for token in reading.ids[1:].tolist()]
        return list(zip(tokens, weights.tolist(), strict=True))

    def save(self, folder: str | Path) -> None:
        """Write the detector, whole or not at all: JSON and safetensors, without the language model."""
        with new_folder(Path(folder).expanduser()) as temporary:
            write(temporary, self._fitted, self.get_params(deep=False))

    @classmethod
    def load(cls, folder: str | Path, model: str | None = None, method: type[Any] | None = None) -> Detector:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : that was written.
        model : where the language model lies now; None for where it lay then.
        method : the class of the method, for those of plug-ins.

        Raises
        ------
        InputError : naming ``folder`` if it holds no detector, or ``model`` if it is another model.
        """
        facts, tensors = _read(Path(folder).expanduser())
        made = method or _method(facts["method"])
        settings = facts["settings"] | {"method": made(**facts["parameters"])}
        detector = cls(**settings | ({"model": model} if model else {}))
        if _backbone(detector.get_params(deep=False)) != facts["backbone"]:
            raise InputError("model", f"{detector.model} is not the model that the detector was trained with")
        detector.fitted_ = Fitted(Scorer(detector.method, tensors), Calibration(**facts["calibration"]))
        detector.classes_ = np.array([0, 1])
        return detector

    @property
    def _fitted(self) -> Fitted:
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this Detector is not fitted yet; call fit with texts and labels first")
        fitted: Fitted = self.fitted_
        return fitted

    @property
    def _calibration(self) -> Calibration:
        return self._fitted.calibration

    def _opened(self) -> Reader:
        wanted = (self.model, self.observer, self.length)
        if getattr(self, "_reader", (None, None))[0] != wanted:
            self._reader = (wanted, opened(*wanted))
        reader: Reader = self._reader[1]
        return reader

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_reader"}

    def _scores(self, texts: Sequence[str]) -> Tensor:
        fitted = self._fitted
        readings, owners = self._opened().windows(texts)
        scores = fitted.scorer(readings)
        places = torch.tensor(owners)
        totals = torch.zeros(len(texts), dtype=torch.float64).index_add_(0, places, scores)
        return totals / torch.bincount(places, minlength=len(texts))


def write(folder: Path, fitted: Fitted, settings: dict[str, Any]) -> None:
    """Write a fitted detector's facts and tensors into a folder.

    Parameters
    ----------
    folder : that exists.
    fitted : the detector.
    settings : parameters of `Detector`; its method is that of ``fitted``.
    """
    from safetensors.torch import save_file

    method = fitted.scorer.method
    facts = {
        "method": method.name,
        "parameters": parameters(method),
        "settings": {name: value for name, value in settings.items() if name != "method"},
        "backbone": _backbone(settings),
        "calibration": vars(fitted.calibration),
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in fitted.scorer.tensors.items()}, folder / TENSORS)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors.torch import load_file

    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        facts["calibration"] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts["calibration"].items()
        }
        return facts, load_file(folder / TENSORS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("folder", f"{folder} holds no detector: {error}") from error


def _backbone(settings: dict[str, Any]) -> list[str]:
    from etude.models.fingerprint import fingerprint

    return [fingerprint(settings[name]) for name in ("model", "observer") if settings[name] is not None]


def _method(name: str) -> type[Any]:
    import etude.explain.detection as home

    classes = {each.name: each for each in vars(home).values() if hasattr(each, "beside")}
    if name not in classes:
        raise unknown("method", name, classes)
    found: type[Any] = classes[name]
    return found
