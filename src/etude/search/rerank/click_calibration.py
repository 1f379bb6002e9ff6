"""Clicks made grades: a small tree learns from pairs that people judged what users' behaviour means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from etude.errors import InputError
from etude.search.collection import Qrels
from etude.search.rerank.click_log import Logged

Tree = Literal["classes", "regression"]
FOLDS, DEPTH, LEAF = 5, 5, 10
"""Parts that labelled queries are divided into; depth and smallest leaf of a tree."""


def calibrated(
    log: Mapping[str, Logged], labels: Qrels, *, tree: Tree = "classes", seed: int = 0
) -> dict[str, Tensor]:
    """A grade for every logged pair, from 0 to 4.

    The tree is cross-fitted by query: what it says of a labelled query comes from a tree that has not seen
    the labels of that query, unless there is no other.

    Parameters
    ----------
    log : what users did.
    labels : grades of some of the logged pairs, by people.
    tree : of five classes, as the paper's, or a regression, which knows that grades are ordered.
    seed : of the trees and of the division of queries.

    Returns
    -------
    dict : for each query the grades of its logged documents, ``[documents]``.

    Raises
    ------
    InputError : naming ``labelled``, if no query of the log has a label.
    """
    places = {
        query: [i for i, document in enumerate(logged.documents) if document in labels[query]]
        for query, logged in log.items()
        if query in labels
    }
    labelled = [query for query, known in places.items() if known]
    if not labelled:
        raise InputError("labelled", "no query of the log has a label: there is nothing to calibrate by")
    order = np.random.default_rng(seed).permutation(len(labelled))
    parts = [{labelled[i] for i in part} for part in np.array_split(order, min(FOLDS, len(labelled)))]

    def fitted(left_out: set[str]) -> Any:
        used = [query for query in labelled if query not in left_out] or labelled
        x = torch.cat([log[query].features[places[query]] for query in used]).numpy()
        y = [labels[query][log[query].documents[i]] for query in used for i in places[query]]
        return _tree(tree, seed).fit(x, y)

    found = {}
    for part, kept in [*((part, fitted(part)) for part in parts), (set(log) - set(labelled), fitted(set()))]:
        for query in part:
            found[query] = torch.tensor(kept.predict(log[query].features.numpy()), dtype=torch.float32)
    return {query: found[query] for query in log}


def _tree(kind: Tree, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    made = DecisionTreeClassifier if kind == "classes" else DecisionTreeRegressor
    return made(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=seed)
