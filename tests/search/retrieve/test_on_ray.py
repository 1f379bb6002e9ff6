"""Indexes built on Ray: workers that are killed lose nothing, and nothing comes twice."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from etude.cli import call
from etude.engine.scale import OnRay
from etude.errors import InputError
from etude.search.collection import Document
from etude.search.retrieve import BM25, Dense
from etude.search.retrieve.index import Index, open_index
from etude.search.retrieve.segments import spread_by

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]

CORPUS = [Document(f"d{n}", f"word{n % 7} number{n} text", title=f"t{n}") for n in range(400)]
QUERIES = {"one": "word3 number17", "two": "text number399", "three": "word5"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    local: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    ray.init(address="local", log_to_driver=False, **local)
    yield
    ray.shutdown()


def killed(folder: Path, work: Callable[[Any], Path], part: tuple[str, list[Document]]) -> Path:
    """Two of the pieces kill their worker: one half-way, one when it is done but has not said so."""
    name, documents = part
    first = documents[0].id
    marker = folder / first
    if marker.exists() or first not in ("d100", "d250"):
        return work(part)
    marker.touch()
    if first == "d100":
        return work((name, _half(documents)))  # type: ignore[arg-type]
    work(part)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _half(documents: list[Document]) -> Iterator[Document]:
    yield from documents[:20]
    os.kill(os.getpid(), signal.SIGKILL)


def on_ray(folder: Path, work: Callable[[Any], Path], items: Iterable[Any]) -> Iterator[Path]:
    return OnRay(workers=2)(partial(killed, folder, work), items)


def alike(found: Index, expected: Index) -> None:
    assert found.stored.ids() == expected.stored.ids()
    for query, ranking in expected.search(QUERIES, 20).items():
        assert found.search(QUERIES, 20)[query] == pytest.approx(ranking)


def test_killed_workers_lose_nothing_and_nothing_comes_twice(tmp_path: Path) -> None:
    with spread_by(partial(on_ray, tmp_path), documents=50):
        index = BM25().index(iter(CORPUS))
    assert {path.name for path in tmp_path.iterdir()} == {"d100", "d250"}  # both were killed
    assert [len(open_index(index.save(tmp_path / "saved").folder))] == [400]
    segments = {*index.manifest.segments}
    assert len(segments) == 8
    assert {path.name for path in index.folder.iterdir()} == segments | {"index.json"}
    alike(index, BM25().index(CORPUS))


def test_documents_are_added_on_ray(tmp_path: Path) -> None:
    index = BM25().index(CORPUS[:50]).save(tmp_path / "index")
    with spread_by(partial(on_ray, tmp_path), documents=50):
        index.add(CORPUS[50:])
    alike(open_index(tmp_path / "index"), BM25().index(CORPUS))


def test_encoders_are_made_again_by_the_workers() -> None:
    corpus = CORPUS[:12]
    with spread_by(OnRay(workers=2), documents=4):
        index = Dense().index(corpus)
    alike(index, Dense().index(corpus))


def test_malformed_documents_are_refused_as_ever() -> None:
    for bad, said in [
        ([*CORPUS[:60], CORPUS[3]], "'d3' is there already"),
        ([*CORPUS[:9], 3], "no Document"),
    ]:
        with spread_by(OnRay(workers=2), documents=10), pytest.raises(InputError, match=f"corpus: .*{said}"):
            BM25().index(bad)  # type: ignore[arg-type]


def test_command(tmp_path: Path) -> None:
    """``etude index --on ray``, on the cluster that is there."""
    rows = [f'{{"id": "{each.id}", "title": "{each.title}", "text": "{each.text}"}}' for each in CORPUS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    out = tmp_path / "index"
    assert call(["index", str(tmp_path / "corpus.jsonl"), "--out", str(out), "--on", "ray"]) == 0
    alike(open_index(out), BM25().index(CORPUS))
