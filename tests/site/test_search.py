"""The search service, by real requests to a real server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from etude.errors import InputError
from etude.search.collection import Document
from etude.search.rerank import FirstStage
from etude.search.rerank.reranking import Asked, Ranking, Reranker
from etude.search.retrieve import BM25
from etude.search.retrieve.index import Index, open_index
from etude.search.retrieve.manifest import MANIFEST
from etude.site import live as live_module
from etude.site.guard import Limits
from etude.site.reranking import Reranking
from etude.site.search import application
from etude.site.server import Server

BIRDS = [Document(f"d{i}", f"bird number {i} with wing{i}", title=f"Bird {i}") for i in range(20)]
JSON = {"content-type": "application/json"}
QUICK = Limits(question=50, k=10, batch=4, body=2000, seconds=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    BM25().index(BIRDS).save(tmp_path / "birds")
    return tmp_path / "birds"


@contextmanager
def served(folder: Path, limits: Limits = QUICK, **settings: Any) -> Iterator[httpx.Client]:
    """A client of a running server."""
    server = Server(
        application(folder, limits=limits, **settings),
        host="127.0.0.1",
        port=0,
        seconds=limits.seconds,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=20) as client:
            until(lambda: answers(client))
            yield client
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that several tests share."""
    folder = tmp_path_factory.mktemp("shared") / "birds"
    BM25().index(BIRDS).save(folder)
    with served(folder) as client:
        yield client


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it has not come true in time"
        time.sleep(0.02)


def ids(answer: Any) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def test_command(folder: Path) -> None:
    """`etude search-serve` runs until it is interrupted, and takes its token from the environment."""
    command = [sys.executable, "-m", "etude", "search-serve", str(folder), "--port", "0"]
    environment = os.environ | {"ETUDE_TOKEN": "t", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+)/docs", line)
        assert found, line
        with httpx.Client(base_url=found[1], headers={"authorization": "Bearer t"}) as client:
            until(lambda: answers(client))
            assert client.get("/info").json()["documents"] == 20
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


def test_answers_as_the_index_does(folder: Path) -> None:
    index = open_index(folder)
    with served(folder) as client:
        one = client.get("/search", params={"q": "wing3 bird", "k": 5}).json()
        expected = index.search({"q": "wing3 bird"}, 5)["q"]
        assert {hit["id"]: hit["score"] for hit in one["hits"]} == pytest.approx(expected)
        assert ids(one) == [*expected]
        assert one["hits"][0]["title"] is None
        asked = {"questions": ["wing7", "wing9", "nothing of that"], "k": 1, "texts": True}
        several = client.post("/search", json=asked).json()["results"]
        assert [ids(each) for each in several] == [["d7"], ["d9"], []]
        assert several[0]["hits"][0]["text"] == BIRDS[7].text
        info = client.get("/info").json()
        assert (info["method"], info["documents"], info["limits"]["k"]) == ("bm25", 20, 10)
        paths = client.get("/openapi.json").json()["paths"]
        assert set(paths) == {"/search", "/health", "/info"}
        assert {p["name"] for p in paths["/search"]["get"]["parameters"]} == {"q", "k", "texts", "rerank"}


@pytest.mark.parametrize(
    ("status", "ask"),
    [
        (422, lambda c: c.get("/search")),
        (422, lambda c: c.get("/search", params={"q": ""})),
        (422, lambda c: c.get("/search", params={"q": "x" * 51})),
        (422, lambda c: c.get("/search", params={"q": "x", "k": 11})),
        (422, lambda c: c.get("/search", params={"q": "x", "k": "many"})),
        (422, lambda c: c.post("/search", json={"questions": ["x"] * 5})),
        (422, lambda c: c.post("/search", json={"questions": ["x" * 51]})),
        (422, lambda c: c.post("/search", json={"questions": "x"})),
        (422, lambda c: c.post("/search", content=b"{", headers=JSON)),
        (422, lambda c: c.post("/search", content=b'{"questions": ["\\ud800"]}', headers=JSON)),
        (422, lambda c: c.post("/search", json={"questions": ["x"], "k": "NaN"})),
        (413, lambda c: c.post("/search", content=b"x" * 2001)),
        (413, lambda c: c.post("/search", content=iter([b"x" * 1500, b"x" * 1500]))),
        (400, lambda c: c.get("/search", params={"q": "x"}, headers={"host": "evil.example"})),
        (404, lambda c: c.get("/nothing")),
        (405, lambda c: c.delete("/search")),
    ],
)
def test_refuses(running: httpx.Client, status: int, ask: Callable[[httpx.Client], httpx.Response]) -> None:
    refused = ask(running)
    assert refused.status_code == status, refused.text
    assert ids(running.get("/search", params={"q": "wing3", "k": 1}).json()) == ["d3"]


class Backwards:
    """An engine that likes best what was found last; questions that say so, slowly."""

    fingerprint = ""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def rank(self, asked: Sequence[Asked]) -> Sequence[Ranking]:
        for question, _ in asked:
            self.seen.append(question)
            time.sleep(2.0 * question.startswith("slow"))
        return [Ranking([float(place) for place in range(len(documents))]) for _, documents in asked]

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""


def backwards(depth: int = 5) -> Reranking:
    return Reranking(Reranker(FirstStage(), Backwards()), depth)


def test_reranks_if_asked_to(folder: Path) -> None:
    with served(folder, reranking=backwards()) as client:
        plain = client.get("/search", params={"q": "bird", "k": 5}).json()
        ranked = client.get("/search", params={"q": "bird", "k": 2, "rerank": True}).json()
        assert ids(ranked) == ids(plain)[:2:-1]
        assert [hit["score"] for hit in ranked["hits"]] == [4.0, 3.0]
        assert ranked["hits"][0]["text"] is None
        asked = {"questions": ["wing7", "nothing of that"], "k": 1, "texts": True, "rerank": True}
        several = client.post("/search", json=asked).json()["results"]
        assert [ids(each) for each in several] == [["d7"], []]
        assert several[0]["hits"][0]["text"] == BIRDS[7].text
        assert client.get("/info").json()["reranker"] == "first-stage"
        refused = client.get("/search", params={"q": "bird", "k": 6, "rerank": True})
        assert (refused.status_code, refused.json()["detail"][:2]) == (422, "k:")


def test_without_a_reranker_nobody_gets_one(running: httpx.Client) -> None:
    refused = running.get("/search", params={"q": "bird", "rerank": True})
    assert (refused.status_code, refused.json()["detail"][:7]) == (422, "rerank:")
    assert running.get("/info").json()["reranker"] == ""


def test_slow_reranking_is_given_up_and_others_do_not_wait_for_it(folder: Path) -> None:
    reranking = backwards(depth=10)
    with served(folder, Limits(seconds=1.0), reranking=reranking) as client, ThreadPoolExecutor(4) as pool:
        words = [f"slow bird {number}" for number in range(4)]
        asked = [pool.submit(client.get, "/search", params={"q": q, "rerank": True}) for q in words]
        until(lambda: bool(reranking.reranker.engine.seen))
        begin = time.monotonic()
        assert client.get("/search", params={"q": "wing3"}).status_code == 200
        assert time.monotonic() - begin < 1.0
        assert [answer.result().status_code for answer in asked] == [503] * 4
        until(lambda: client.get("/search", params={"q": "bird", "rerank": True}).status_code == 200)
        assert len([q for q in reranking.reranker.engine.seen if q.startswith("slow")]) == 1


def test_token(folder: Path) -> None:
    with served(folder, token="open sesame") as client:
        assert client.get("/info").status_code == 401
        assert client.get("/info", headers={"authorization": "Bearer open sesam"}).status_code == 401
        assert client.get("/info", headers={"authorization": "Bearer open sesame"}).status_code == 200


def test_others_need_a_token(folder: Path) -> None:
    with pytest.raises(InputError, match=r"token: 0\.0\.0\.0 is reached by others"):
        Server(None, host="0.0.0.0", port=0)


def test_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="port: "):
            Server(None, host="127.0.0.1", port=taken.getsockname()[1])


def test_rate(folder: Path) -> None:
    with served(folder, Limits(rate=5.0)) as client:
        states = [client.get("/info") for _ in range(15)]
        assert states[0].status_code == 200
        assert states[-1].status_code == 429
        assert int(states[-1].headers["retry-after"]) >= 1


def slowly(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    found = live_module._found

    def slow(index: Index, questions: Any) -> Any:
        time.sleep(seconds)
        return found(index, questions)

    monkeypatch.setattr(live_module, "_found", slow)


def test_too_slow_an_answer_and_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch, 0.6)
    with served(folder, Limits(seconds=0.3, concurrency=2)) as client, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(client.get, "/search", params={"q": "wing3"}) for _ in range(6)]
        details = [answer.result().json()["detail"] for answer in asked]
        assert all(answer.result().status_code == 503 for answer in asked)
        assert any("no answer within" in detail for detail in details)
        assert any("2 requests are under way" in detail for detail in details)


def test_slow_and_broken_clients_harm_nobody(folder: Path) -> None:
    """Heads and bodies that never end or are huge, bytes that are no HTTP, many who connect in silence."""
    with served(folder) as client:
        address = ("127.0.0.1", client.base_url.port)
        slow = [socket.create_connection(address, timeout=10) for _ in range(50)]
        slow[0].sendall(b"GET /search?q=wing3 HTTP/1.1\r\nHost: localhost\r\nx: ")
        slow[1].sendall(b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        slow[2].sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        slow[3].sendall(b"GET /search?q=wing3 HTTP/1.1\r\nx: " + b"y" * 17_000)
        begin = time.monotonic()
        for _ in range(20):
            assert ids(client.get("/search", params={"q": "wing3"}).json()) == ["d3"]
            slow[0].sendall(b"y")
        assert time.monotonic() - begin < 5
        ends = [connection.recv(1000) for connection in slow]
        assert ends[1].startswith(b"HTTP/1.1 408")
        assert all(end.startswith(b"HTTP/1.1 400") for end in ends[2:4])
        assert [ends[0], *ends[4:]] == [b""] * 47
        for connection in slow:
            connection.close()


def test_takes_up_a_changed_index(folder: Path) -> None:
    with served(folder) as client:
        changed = open_index(folder)
        changed.add([Document("new", "something quite different")])
        changed.delete(["d3"])
        until(lambda: ids(client.get("/search", params={"q": "different"}).json()) == ["new"])
        until(lambda: client.get("/info").json()["documents"] == 20)
        assert ids(client.get("/search", params={"q": "wing3"}).json()) == []


def test_keeps_the_old_index_while_the_new_one_is_damaged(folder: Path) -> None:
    manifest = (folder / MANIFEST).read_text()
    with served(folder) as client:
        (folder / MANIFEST).write_text("{")
        until(lambda: client.get("/health").json()["status"] == "stale")
        assert "damaged" in client.get("/health").json()["detail"]
        assert ids(client.get("/search", params={"q": "wing3"}).json()) == ["d3"]
        (folder / MANIFEST).write_text(manifest)
        until(lambda: client.get("/health").json()["status"] == "ok")


def test_questions_that_wait_go_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch, 0.2)
    with served(folder, Limits(), threads=2) as client, ThreadPoolExecutor(30) as pool:
        begin = time.monotonic()
        asked = [pool.submit(client.get, "/search", params={"q": f"wing{i % 20}", "k": 1}) for i in range(30)]
        assert [ids(answer.result().json()) for answer in asked] == [[f"d{i % 20}"] for i in range(30)]
        assert time.monotonic() - begin < 3  # one by one, two threads take 3 s


def test_what_the_index_refuses_is_the_clients_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(index: Index, questions: Any) -> Any:
        raise InputError("queries", "are not of this world")

    monkeypatch.setattr(live_module, "_found", refuse)
    with served(folder) as client:
        refused = client.get("/search", params={"q": "wing3"})
        assert (refused.status_code, refused.json()) == (422, {"detail": "queries: are not of this world"})


def test_no_answer_waits_for_an_acknowledgement(running: httpx.Client) -> None:
    """Nagle's algorithm would hold each back for 40 ms."""
    begin = time.monotonic()
    for _ in range(60):
        running.get("/search", params={"q": "wing3"})
    assert time.monotonic() - begin < 2
