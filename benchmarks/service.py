"""The search service under load: many clients at once, hostile ones among them, beside a plain handler.

python benchmarks/service.py                           200 clients for 30 s a line: NPL, Cranfield by vectors
python benchmarks/service.py --clients 50 --seconds 5

Clients ask on one connection each, the next question as soon as the last is answered, so that latency is the
number of clients over the throughput; the milliseconds of CPU that the server spends on a request depend less
on what else the machine does. The plain handler is FastAPI, uvicorn and bm25s (peers/bm25s-service.py): no
limits, no reload, no batches.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote

from common import HERE, machine, table, write_results

SECONDS = 2.0
"""What the service gives a head, a body and an answer when hostile clients are there."""
HOSTILE = 10
"""Clients of each kind."""


@dataclass
class Load:
    """What clients saw."""

    times: list[float] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)


async def client(port: int, questions: Iterator[str], until: float, load: Load) -> None:
    """One client that asks until it is time, and connects again where it is cut off."""
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.monotonic() < until:
                target = f"/search?q={quote(next(questions))}&k=10"
                begun = time.perf_counter()
                writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                load.states[await answer(reader)] += 1
                load.times.append(time.perf_counter() - begun)
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            load.states[type(error).__name__] += 1


async def answer(reader: asyncio.StreamReader) -> str:
    """The status of an answer that is read whole."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].split()[0]
    await reader.readexactly(int(length))
    return head.split()[1]


async def hostile(port: int, kind: str, until: float, load: Load) -> None:
    """One client that means ill, again and again; counts how each of its requests ends."""
    head = b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    sent, drip = {
        "slow head": (b"GET /search?q=x HTTP/1.1\r\nHost: 127.0.0.1\r\nx: ", b"y"),
        "slow body": (head + b"Content-Length: 100000\r\n\r\n{", b" "),
        "huge body": (head + b"Content-Length: 100000000\r\n\r\n" + b" " * 100_000, b""),
        "no HTTP": (b"\x16\x03\x01 nonsense\r\n\r\n", b""),
        "no JSON": (head + b"Content-Length: 1\r\n\r\n{", b""),
        "too many": (b"GET /search?q=x&k=1000000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b""),
    }[kind]
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            ending = asyncio.ensure_future(reader.readline())
            while not ending.done():
                await asyncio.wait([ending], timeout=0.2)
                if not ending.done():
                    writer.write(drip)
            line = ending.result().split()
            load.states[f"{kind}: {line[1].decode() if len(line) > 1 else 'closed'}"] += 1
            writer.close()
        except OSError:
            load.states[f"{kind}: closed"] += 1
        await asyncio.sleep(0.1)


async def attack(
    port: int, questions: list[str], options: argparse.Namespace, ill: bool
) -> tuple[Load, Load]:
    """All clients at once."""
    until, asked, good, bad = time.monotonic() + options.seconds, cycle(questions), Load(), Load()
    kinds = ("slow head", "slow body", "huge body", "no HTTP", "no JSON", "too many")
    async with asyncio.TaskGroup() as group:
        for _ in range(options.clients):
            group.create_task(client(port, asked, until, good))
        for kind in kinds * (HOSTILE * ill):
            group.create_task(hostile(port, kind, until, bad))
    return good, bad


@contextmanager
def running(command: Callable[[int], list[str]]) -> Iterator[tuple[int, int]]:
    """A server's port and process; it is up when the block begins."""
    port = free_port()
    threads = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command(port), env={**os.environ, **threads}, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                try:
                    asyncio.run(first(port))
                    break
                except OSError:
                    time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()


async def first(port: int) -> None:
    """Ask once, so that what is loaded by the first question is not measured."""
    load = Load()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /search?q=wing&k=10 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    load.states[await answer(reader)] += 1
    writer.close()


def free_port() -> int:
    """One that nobody listens on."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def line(
    title: str, command: Callable[[int], list[str]], questions: list[str], options: Any, ill: bool
) -> dict:
    """One server under load."""
    with running(command) as (port, pid):
        before = cpu(pid)
        good, bad = asyncio.run(attack(port, questions, options, ill))
        spent = cpu(pid) - before
    cuts = quantiles(good.times, n=100)
    count = len(good.times)
    return {
        "service": title,
        "requests": count,
        "errors": count
        - good.states["200"]
        + sum(n for state, n in good.states.items() if not state.isdigit()),
        "requests/s": count / options.seconds,
        "p50 ms": cuts[49] * 1e3,
        "p95 ms": cuts[94] * 1e3,
        "p99 ms": cuts[98] * 1e3,
        "CPU ms": spent * 1e3 / count,
        "refused": dict(sorted(bad.states.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument(
        "--dense", default="cranfield", help="collection to be searched by vectors; none to skip"
    )
    options = parser.parse_args()

    from etude.data.collections import load_collection
    from etude.search.retrieve import BM25, Dense

    etude, plain = (
        [sys.executable, "-m", "etude", "search-serve"],
        [sys.executable, HERE / "peers/bm25s-service.py"],
    )
    slow = ["--seconds", str(SECONDS)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        npl = load_collection("npl")
        asked = [*npl.queries.values()]
        words = str(BM25().index(npl.documents).save(Path(place, "npl")).folder)
        servers: list[tuple[str, Callable[[int], list[str]], list[str], bool]] = [
            (
                "bm25s in a plain handler, NPL",
                lambda port: [*map(str, plain), "npl", str(port)],
                asked,
                False,
            ),
            ("etude, bm25, NPL", lambda port: [*etude, words, "--port", str(port)], asked, False),
            (
                "the same, hostile clients too",
                lambda port: [*etude, words, "--port", str(port), *slow],
                asked,
                True,
            ),
        ]
        if options.dense != "none":
            known = load_collection(options.dense)
            vectors = str(Dense().index(known.documents).save(Path(place, "dense")).folder)
            servers.append(
                (
                    f"etude, dense, {options.dense}",
                    lambda port: [*etude, vectors, "--port", str(port), "--seconds", "30"],
                    [*known.queries.values()],
                    False,
                )
            )
        for title, command, questions, ill in servers:
            rows.append(line(title, command, questions, options, ill))
            print(rows[-1], file=sys.stderr)
    print(table([{name: value for name, value in row.items() if name != "refused"} for row in rows]))
    for row in rows:
        for ending, count in row["refused"].items():
            print(f"{ending}, {count} times")
    path = write_results("service", {"machine": machine(), "clients": options.clients, "lines": rows})
    print(f"kept in {path}")


if __name__ == "__main__":
    main()
