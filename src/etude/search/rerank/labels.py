"""Complete rankings by a teacher that ranks a few passages at a time; kept, so that none is asked twice."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from etude.files import new_file
from etude.search.collection import Document, Queries, Run
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.windows import Sorter, Window, slide, slide_all

Passes = Literal["complete", "single-pass"]


def sorted_by(
    sort: Sorter, sizes: Sequence[int], passes: Passes, window: int, stride: int
) -> list[list[int]]:
    """Whole lists sorted by windows: "complete", by as many passes as it takes, or by a "single-pass".

    A single pass leaves what is behind its first ``window - stride`` partly as it stood.
    """
    slides = slide_all if passes == "complete" else slide
    return slides([range(size) for size in sizes], sort, window, stride)


def labels(
    teacher: Listwise,
    queries: Queries,
    documents: Mapping[str, Document],
    run: Run,
    passes: Passes,
    folder: Path,
) -> dict[str, list[str]]:
    """The teacher's rankings of a run's documents, best first; what it was asked before is read from a file.

    The file has a row for each query: ``qid``, ``initial_list`` and ``final_list``, as FullRank's own labels.

    Parameters
    ----------
    teacher : ranks windows of its ``window`` and ``stride``.
    queries : the text of every query of the run.
    documents : by identifier, at least those of the run.
    run : what the first stage found, best first.
    passes : see `sorted_by`.
    folder : where the files are kept, one for each teacher and what it is asked.
    """
    texts = {name: documents[name].content for ranking in run.values() for name in ranking}
    settings = [teacher.fingerprint, vars(teacher.listing), teacher.answer, teacher.passage]
    windows = [teacher.window, teacher.stride, passes]
    what = [{q: [queries[q], *ranking] for q, ranking in run.items()}, texts, settings, windows]
    path = folder / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.jsonl"
    if not path.is_file():
        names = [[*ranking] for ranking in run.values()]
        asked = [(queries[q], [documents[d] for d in run[q]]) for q in run]
        sizes = [*map(len, names)]
        orders = sorted_by(
            lambda windows: teacher.sorted(asked, windows)[0],
            sizes,
            passes,
            teacher.window or max(sizes),
            teacher.stride,
        )
        rows = [
            {"qid": query, "initial_list": initial, "final_list": [initial[place] for place in order]}
            for query, initial, order in zip(run, names, orders, strict=True)
        ]
        with new_file(path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["qid"]: row["final_list"] for row in found}


def judging(grades: Sequence[Sequence[int]], swaps: float, seed: int) -> Sorter:
    """A teacher that knows the grades of each list's items, and errs.

    Parameters
    ----------
    grades : of the items of each list; those of one grade stay as they stand.
    swaps : how likely it swaps two neighbours of a sorted window, each pair once from the front.
    seed : of the swaps.

    Examples
    --------
    >>> sorted_by(judging([[0, 2, 1]], swaps=0.0, seed=0), [3], "complete", window=2, stride=1)
    [[1, 2, 0]]
    """
    draw = random.Random(seed)

    def sort(windows: Sequence[Window]) -> list[list[int]]:
        found = []
        for window in windows:
            items = sorted(window.items, key=lambda item: -grades[window.row][item])
            for place in range(1, len(items)):
                if draw.random() < swaps:
                    items[place - 1], items[place] = items[place], items[place - 1]
            found.append(items)
        return found

    return sort
