"""Token vectors of real passages for benchmarks of late interaction, encoded once and kept in the cache."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PASSAGES, QUERIES, WORDS = 50_000, 200, 18
BATCH = 1000


def texts() -> tuple[list[str], list[str]]:
    """Passages of 18 words from paragraphs of SQuAD, WikiText-2 and novels, and questions of SQuAD."""
    from etude import data
    from etude.data.rows import rows
    from etude.data.sets import find_folder

    folder = find_folder("xquad")
    if folder is None:
        raise SystemExit("set $ETUDE_DATA to a folder that holds xquad (README: data)")
    squad = [row for _, row in rows(folder / "en.jsonl.gz")]
    sources = [
        dict.fromkeys(row["context"] for row in squad),
        [
            text
            for split in ("calibration", "evaluation")
            for text in data.load("wikitext2_valid_test", split)
        ],
        [text for split in ("calibration", "evaluation") for text in data.load("english_novels", split)],
    ]
    passages: list[str] = []
    for source in sources:
        passages += [passage for text in source for passage in _cut(text)]
    return passages[:PASSAGES], [row["question"] for row in squad[:: len(squad) // QUERIES]][:QUERIES]


def _cut(text: str) -> Iterator[str]:
    words = text.split()
    for first in range(0, len(words) - WORDS + 1, WORDS):
        yield " ".join(words[first : first + WORDS])


def vectors() -> Path:
    """A folder with ``documents.npy`` and ``queries.npy`` (float16 ``[tokens, 384]``) and their lengths.

    Last hidden states of MiniLM at unit length, without training: ten minutes on one core, once.
    """
    from etude.files import cache_folder, new_folder
    from etude.search.late.encoder import TokenEncoder

    place = cache_folder("benchmarks", f"late-{PASSAGES}-{WORDS}")
    if place.is_dir():
        return place
    passages, queries = texts()
    encoder = TokenEncoder.load("minilm")
    with new_folder(place) as folder:
        asked = encoder.encode(queries, "query")
        np.save(folder / "queries.npy", asked.vectors.numpy())
        np.save(folder / "query_lengths.npy", asked.lengths.numpy())
        parts, lengths = [], []
        for first in range(0, len(passages), BATCH):
            tokens = encoder.encode(passages[first : first + BATCH], "document")
            parts.append(tokens.vectors.half().numpy())
            lengths.append(tokens.lengths.numpy())
            print(first, file=sys.stderr)
        np.save(folder / "documents.npy", np.concatenate(parts))
        np.save(folder / "lengths.npy", np.concatenate(lengths))
    return place


class Texts(NamedTuple):
    """Token vectors, text after text, and the tokens of each; peers' environments know no more."""

    vectors: Any
    lengths: Any


def load(folder: Path, documents: int, queries: int) -> tuple[Texts, Any]:
    """The first so many passages, and a matrix for each of so many queries; float32 tensors."""
    import torch

    lengths = torch.from_numpy(np.load(folder / "lengths.npy")[:documents])
    vectors = np.load(folder / "documents.npy", mmap_mode="r")[: int(lengths.sum())]
    asked = torch.from_numpy(np.load(folder / "queries.npy"))
    rows = torch.from_numpy(np.load(folder / "query_lengths.npy")).tolist()
    return Texts(torch.from_numpy(vectors.astype(np.float32)), lengths), torch.split(asked, rows)[:queries]


def timed(search: Callable[[Any], tuple[Any, Any]], queries: Any) -> tuple[list[list[int]], list[float]]:
    """What is found for each query, and the CPU milliseconds of each; the first one warms up."""
    search(queries[0])
    found, times = [], []
    for query in queries:
        start = time.process_time()
        places, _ = search(query)
        times.append((time.process_time() - start) * 1e3)
        found.append([int(place) for place in places])
    return found, times


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    print(vectors())
