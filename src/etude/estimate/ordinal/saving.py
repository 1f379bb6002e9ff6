"""Ordinal classifiers as files: numbers in safetensors, the rest in JSON; nothing is pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from etude.errors import InputError
from etude.estimate import ordinal
from etude.estimate.ordinal.classifier import OrdinalClassifier
from etude.files import new_folder

ARRAYS = ("intercept_", "coef_", "lams_", "path_intercept_", "path_coef_", "cv_brier_", "objective_")
FACTS = ("lam_", "n_iter_", "n_repaired_", "n_features_in_")
CLASSES = (
    "PrestoClassifier",
    "OrdinalNetClassifier",
    "ProportionalOddsClassifier",
    "LogisticStepsClassifier",
)


def save(model: OrdinalClassifier, folder: Path) -> None:
    """Write a fitted classifier into a new folder: ``model.safetensors`` and ``model.json``."""
    with new_folder(folder) as temporary:
        write(model, temporary)


def write(model: OrdinalClassifier, folder: Path) -> None:
    """The same into a folder that is there."""
    arrays = {name: np.ascontiguousarray(getattr(model, name)) for name in ARRAYS if hasattr(model, name)}
    save_file(arrays, folder / "model.safetensors")
    facts = {
        "class": type(model).__name__,
        "parameters": model.get_params(),
        "levels": model.classes_.tolist(),
        "attributes": {name: getattr(model, name) for name in FACTS if hasattr(model, name)},
        "features": list(getattr(model, "feature_names_in_", [])),
    }
    (folder / "model.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Any:
    """The classifier that `save` wrote.

    Raises
    ------
    InputError : naming ``folder``, if it holds no such thing.
    """
    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "model.safetensors")
        if facts["class"] not in CLASSES:
            raise InputError("folder", f"{folder} holds a {facts['class']}, which is no ordinal classifier")
        model = getattr(ordinal, facts["class"])(**facts["parameters"])
    except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
        raise InputError("folder", f"{folder} holds no ordinal classifier: {error}") from error
    for name, value in (arrays | facts["attributes"]).items():
        setattr(model, name, value)
    model.classes_ = np.array(facts["levels"])
    if facts["features"]:
        model.feature_names_in_ = np.array(facts["features"], dtype=object)
    return model
