"""Named sets of running text: what they are, whose they are, and which part is held out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from etude.errors import InputError
from etude.files import cache_folder

BUILT_IN = Path(__file__).parent / "built_in"


@dataclass(frozen=True)
class TextSet:
    """A folder of text files that may be used by name.

    Parameters
    ----------
    title : what it is.
    domain : kind of text.
    licence : as its makers state it.
    home : where it comes from.
    calibration : files, with fields behind a colon where they need it.
    evaluation : files whose documents are not in ``calibration``; empty if all files are to be
        divided as any text is, the last fifth of each being held out.
    """

    title: str
    domain: str
    licence: str
    home: str
    calibration: tuple[str, ...]
    evaluation: tuple[str, ...] = ()


SETS: dict[str, TextSet] = {
    "novels": TextSet(
        title="Excerpts of 47 English novels, 1839-1923, split by author",
        domain="fiction",
        licence="public domain in the United States",
        home="built in",
        calibration=("calibration.jsonl.gz",),
        evaluation=("evaluation.jsonl.gz",),
    ),
    "english_novels": TextSet(
        title="47 English novels, 1839-1923, split by author",
        domain="fiction",
        licence="public domain in the United States",
        home="https://github.com/computationalstylistics/100_english_novels",
        calibration=("train.jsonl.gz",),
        evaluation=("valid.jsonl.gz", "test.jsonl.gz"),
    ),
    "wikitext2_valid_test": TextSet(
        title="WikiText-2 (tokens): its validation part to calibrate, its test part to evaluate",
        domain="encyclopaedia",
        licence="CC BY-SA 3.0",
        home="https://github.com/pytorch/examples",
        calibration=("valid.txt.gz",),
        evaluation=("test.txt.gz",),
    ),
    "abc_news_2006": TextSet(
        title="Australian Broadcasting Commission 2006: rural and science news",
        domain="news",
        licence="unclear: for research, with the NLTK corpora",
        home="https://github.com/nltk/nltk_data",
        calibration=("rural.txt.gz", "science.txt.gz"),
    ),
    "ncbi_disease": TextSet(
        title="PubMed abstracts on genetic diseases (NCBI disease corpus)",
        domain="biomedicine",
        licence="public domain (US government work)",
        home="https://github.com/spyysalo/ncbi-disease",
        calibration=("train_concepts.jsonl:title+abstract",),
        evaluation=("valid_concepts.jsonl:title+abstract", "test_concepts.jsonl:title+abstract"),
    ),
    "bc5cdr": TextSet(
        title="PubMed abstracts on chemicals and diseases (BioCreative V), put together from their words",
        domain="biomedicine",
        licence="CC BY 4.0",
        home="https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        calibration=("train.conll.gz", "valid.conll.gz"),
        evaluation=("test.conll.gz",),
    ),
    "german_court_text": TextSet(
        title="Decisions of three German federal courts",
        domain="law, German",
        licence="CC BY 4.0",
        home="https://github.com/elenanereiss/Legal-Entity-Recognition",
        calibration=("bfh.txt.gz", "bgh.txt.gz", "bverfg.txt.gz"),
    ),
    "gsm8k": TextSet(
        title="Grade-school mathematics: questions with worked answers",
        domain="mathematics",
        licence="MIT",
        home="https://github.com/openai/grade-school-math",
        calibration=("train.jsonl.gz:question+answer",),
        evaluation=("test.jsonl.gz:question+answer",),
    ),
}


def find_folder(name: str) -> Path | None:
    """The folder of a set: built in, in ``$ETUDE_DATA``, or in the user's cache; None if in none of them."""
    return next((place / name for place in _places() if (place / name).is_dir()), None)


def find_set(name: str) -> Path | None:
    """The folder of a set of texts; see `find_folder`.

    Raises
    ------
    InputError : for a set of the table that is not here, saying where to get it.
    """
    folder = find_folder(name)
    if folder is None and name in SETS:
        known = SETS[name]
        files = ", ".join(file.partition(":")[0] for file in (*known.calibration, *known.evaluation))
        raise missing(name, files, known.home)
    return folder


def missing(name: str, files: str, home: str, *, field: str = "data") -> InputError:
    """The error for a named set that is not on this machine; ``field`` is the one that named it."""
    return InputError(
        field,
        f"{name} is not on this machine: put {files}, made from {home}, into {_places()[-1] / name} "
        f"or into $ETUDE_DATA/{name}",
    )


def _places() -> list[Path]:
    data = os.environ.get("ETUDE_DATA")
    return [BUILT_IN, *([Path(data)] if data else []), cache_folder("data")]
