"""Texts of people and of machines: from tables, pairs, or running text that a language model continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etude.errors import InputError

PAIRS = ("human", "machine")
COLUMNS = ("text", "label")
LABELS = {"0": 0, "human": 0, "1": 1, "machine": 1}
BEGINNING = 8
"""Words by which two texts are known for copies of one."""
_KINDS = {".csv", ".tsv", ".jsonl", ".parquet"}


@dataclass(frozen=True)
class Sample:
    """One text.

    Parameters
    ----------
    text : as it stands.
    label : 1 for a machine's, 0 for a person's.
    group : what it shares with others that must not be divided between training and test.
    domain : kind of text.
    generator : the machine that wrote it, or the one whose text stands beside it; "" if not known.
    """

    text: str
    label: int
    group: str
    domain: str
    generator: str = ""


def load(names: Sequence[str], generator: str, texts: int, words: int) -> list[Sample]:
    """All samples of some sources, as many of people as of machines where they come in pairs.

    Parameters
    ----------
    names : each a table with ``text`` and ``label`` (0 or human, 1 or machine), and perhaps ``domain``,
        ``group`` and ``generator``; a table of pairs with ``human`` and ``machine``, and perhaps ``source``,
        ``index`` and ``model``; a folder or named set that holds one such table; or running text, whose
        passages are continued by ``generator``.
    generator : a causal language model by name or folder.
    texts : of each class and domain, at most; pairs are spread over a table, others come from its begin.
    words : of a text, at most; the two of a pair are cut to the same number.

    Raises
    ------
    InputError : naming ``data`` and the file, if it cannot be read, or all texts have one label.
    """
    samples = [sample for name in names for sample in _of(name, generator, texts, words)]
    if len({sample.label for sample in samples}) < 2:
        raise InputError("data", "holds texts of one class only; give texts of people and of machines")
    return samples


def _of(name: str, generator: str, texts: int, words: int) -> list[Sample]:
    path = table_of(name)
    rows = [] if path is None else read_rows(path)
    columns = set(rows[0]) if rows else set()
    if path is not None and set(COLUMNS) <= columns:
        return _labelled(rows, path, texts, words)
    if path is None or not set(PAIRS) <= columns:
        from etude.explain.detection.generated import pairs

        rows = pairs(name, generator, texts, words)
    return _from_pairs(rows, Path(name).name.split(".")[0], texts, words)


def _labelled(rows: list[dict[str, Any]], path: Path, texts: int, words: int) -> list[Sample]:
    domains: dict[tuple[str, int], int] = {}
    samples = []
    for number, row in enumerate(rows, 1):
        text, label = row["text"], LABELS.get(str(row["label"]).lower())
        if not isinstance(text, str) or len(text.split()) < 2:
            raise InputError("data", f"{path}, row {number}: text is none, or a single word")
        if label is None:
            raise InputError(
                "data", f"{path}, row {number}: label {row['label']!r} is not 0, 1, human or machine"
            )
        domain = str(row.get("domain") or path.name.split(".")[0])
        domains[domain, label] = domains.get((domain, label), 0) + 1
        if domains[domain, label] <= texts:
            group, writer = str(row.get("group") or number), str(row.get("generator") or "")
            samples.append(Sample(_cut(text, words), label, f"{path.name} {group}", domain, writer))
    return samples


def _from_pairs(rows: list[dict[str, Any]], name: str, texts: int, words: int) -> list[Sample]:
    """Both texts of a pair, cut to one length; machines in turn, and no two pairs with one beginning."""
    domains: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for number, row in enumerate(rows, 1):
        if not all(isinstance(row[side], str) and len(row[side].split()) > 1 for side in PAIRS):
            raise InputError("data", f"{name}, row {number}: human or machine is none, or a single word")
        beginnings = domains.setdefault(str(row.get("source") or name), {})
        beginnings.setdefault(_cut(row["human"], BEGINNING), []).append(row)
    samples = []
    for domain, beginnings in domains.items():
        spread = range(0, len(beginnings), max(1, len(beginnings) // texts))[:texts]
        for number, (beginning, several) in enumerate(list(beginnings.items())[at] for at in spread):
            row = several[number % len(several)]
            size = min(words, *(len(row[side].split()) for side in PAIRS))
            group, writer = f"{domain} {beginning}", str(row.get("model") or "")
            samples += [
                Sample(_cut(row[side], size), label, group, domain, writer)
                for label, side in enumerate(PAIRS)
            ]
    return samples


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a CSV, TSV, JSONL or Parquet file, gzipped or not.

    Raises
    ------
    InputError : naming ``data`` and the file, if it is malformed or holds no rows.
    """
    import pyarrow
    from pyarrow import csv, json, parquet

    options = csv.ParseOptions(delimiter="\t" if _kind(path) == ".tsv" else ",", newlines_in_values=True)
    try:
        if _kind(path) == ".parquet":
            table = parquet.read_table(path)
        elif _kind(path) == ".jsonl":
            table = json.read_json(path, parse_options=json.ParseOptions(newlines_in_values=False))
        else:
            table = csv.read_csv(path, parse_options=options)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError("data", f"{path} cannot be read as a table: {error}") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    if not rows:
        raise InputError("data", f"{path} holds no rows")
    return rows


def table_of(name: str) -> Path | None:
    """The table that a name or path means, or a folder's only one; None for running text."""
    from etude.data.sets import SETS, find_set

    path = Path(name).expanduser()
    if not path.exists() and name not in SETS:
        path = find_set(name) or path
    if path.is_dir():
        tables = [each for each in sorted(path.iterdir()) if _kind(each) in _KINDS]
        return tables[0] if len(tables) == 1 else None
    return path if path.is_file() and _kind(path) in _KINDS else None


def _kind(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _cut(text: str, words: int) -> str:
    """The first words of a text, one space apart: line breaks tell how texts were gathered, and no more."""
    return " ".join(text.split()[:words])
