"""Fit a detector on some texts and calibrate it on others that share no source with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from etude.errors import InputError
from etude.explain.detection.calibration import Calibration
from etude.explain.detection.reading import Reading
from etude.explain.detection.scorer import Scorer, check_labels


@dataclass(frozen=True)
class Fitted:
    """A fitted detector and what its scores mean."""

    scorer: Scorer
    calibration: Calibration


def fit(
    method: Any,
    readings: Sequence[Reading],
    labels: Sequence[int],
    groups: Sequence[Any] | None = None,
    *,
    folds: int = 3,
    seed: int = 0,
) -> Fitted:
    """Train on all folds but one, and calibrate on that one.

    Parameters
    ----------
    method : an instance of a method of detection.
    readings, labels : of the texts; 1 says machine, 0 human.
    groups : texts of one group (a source, an author, a prompt) fall into one fold; None for none.
    folds : stratified by label; the first is held out.
    seed : of the folds.

    Raises
    ------
    InputError : if scikit-learn is missing, or there are too few texts or groups of a class.
    """
    train, held_out = split(labels, groups, folds, seed)
    targets = check_labels(labels, len(readings))
    scorer = method.fit([readings[i] for i in train], targets[train])
    calibration = Calibration.of(scorer([readings[i] for i in held_out]), targets[held_out])
    return Fitted(scorer, calibration)


def split(
    labels: Sequence[int], groups: Sequence[Any] | None, folds: int, seed: int
) -> tuple[list[int], list[int]]:
    """Positions of all folds but the first, and of the first: stratified by label, no group in both.

    Raises
    ------
    InputError : naming ``labels`` or ``groups`` if a part would lack a class.

    Examples
    --------
    >>> train, rest = split([0, 1] * 6, groups=[n // 2 for n in range(12)], folds=3, seed=0)
    >>> len(train), len(rest), {i // 2 for i in train} & {i // 2 for i in rest}
    (8, 4, set())
    """
    check_installed()
    from sklearn.model_selection import StratifiedGroupKFold

    given = list(range(len(labels))) if groups is None else list(groups)
    if len(given) != len(labels):
        raise InputError("groups", f"are {len(given)}, not one for each of {len(labels)} texts")
    classes = torch.as_tensor(labels)
    for label, name in ((0, "human"), (1, "machine")):
        sources = {given[i] for i in (classes == label).nonzero()[:, 0].tolist()}
        if len(sources) < folds:
            raise InputError(
                "labels" if groups is None else "groups",
                f"{len(sources)} of {name} texts are too few for {folds} folds; give more texts",
            )
    names = {group: number for number, group in enumerate(dict.fromkeys(given))}
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    numbers = [names[group] for group in given]
    train, held_out = next(iter(parts.split(numbers, classes.tolist(), numbers)))
    for part in (train, held_out):
        if len(set(classes[torch.as_tensor(part)].tolist())) < 2:
            raise InputError("groups", "are so uneven that a fold lacks a class; make them smaller")
    return train.tolist(), held_out.tolist()


def check_installed() -> None:
    """Raise `InputError` if scikit-learn, which divides the texts, is missing."""
    if find_spec("sklearn") is None:
        raise InputError("method", 'detection needs scikit-learn: pip install "etude[explain]"')
