"""Make the built-in sample of novels: ``python -m etude.data.novels --data FOLDER``.

FOLDER is ``english_novels``, with ``train``, ``valid`` and ``test`` as ``.jsonl.gz``: 47 novels of
1839-1923, no author in two splits. From the middle of each novel comes one excerpt of whole
paragraphs: to calibrate on from the train authors, to evaluate on from the valid and test authors,
whom nano-llama has never read.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from etude.data.sets import BUILT_IN

CALIBRATION_CHARACTERS = 37_000
EVALUATION_CHARACTERS = 40_000
LONGEST_PARAGRAPH = 4_000


def excerpt(novel: str, characters: int) -> str:
    """Whole paragraphs from the middle of a text, about ``characters`` long.

    Examples
    --------
    >>> novel = (chr(10) * 2).join(["Title", "Once there was.", "Then came more.", "The end."])
    >>> excerpt(novel, 20)
    'Once there was.'
    """
    begin = _paragraph(novel, (len(novel) - characters) // 2)
    return novel[begin : _paragraph(novel, begin + characters)].strip()


def _paragraph(novel: str, near: int) -> int:
    """Where the last paragraph in front of a place begins, or the last line where none does."""
    empty_line = novel.rfind("\n\n", max(0, near - LONGEST_PARAGRAPH), near)
    return (empty_line if empty_line >= 0 else novel.rfind("\n", 0, near)) + 1


def excerpts(data: Path, splits: Sequence[str], characters: int) -> Iterator[dict[str, Any]]:
    """The rows of one part of the sample."""
    for split in splits:
        with gzip.open(data / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            for novel in map(json.loads, file):
                known = {key: novel[key] for key in ("id", "author", "year")}
                yield {**known, "text": excerpt(novel["text"], characters)}


def write(rows: Iterator[dict[str, Any]], path: Path) -> None:
    """JSON lines, gzipped to the same bytes every time."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content.encode(), 9, mtime=0))
    print(f"{path}: {len(content):,} characters, {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder english_novels")
    parser.add_argument("--out", type=Path, default=BUILT_IN / "novels", help="where the sample goes")
    arguments = parser.parse_args()
    for part, splits, characters in (
        ("calibration", ["train"], CALIBRATION_CHARACTERS),
        ("evaluation", ["valid", "test"], EVALUATION_CHARACTERS),
    ):
        write(excerpts(arguments.data, splits, characters), arguments.out / f"{part}.jsonl.gz")


if __name__ == "__main__":
    main()
