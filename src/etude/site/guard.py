"""What stands before an application: who may ask, how much, how often and how long."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any

import annotated_types as at

from etude.method import check_fields

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
OPEN = "/health"
"""The path that needs no token."""
_CLIENTS = 10_000
"""Clients whose rates are kept in mind; when there are more, those that have been quiet are forgotten."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request, one client and all of them together may ask.

    Parameters
    ----------
    question : characters of a question.
    k : documents a question.
    batch : questions a request.
    body : bytes of a request's body.
    concurrency : requests under way; the next is turned away with 503.
    rate : requests a second of one address, with bursts of twice that, before 429; 0 for any number.
    seconds : that a request's head may take (its connection is closed), that its body may take (408), and
        that its answer may take (503).

    Raises
    ------
    InputError : if a field has the wrong type or is out of range.
    """

    question: Annotated[int, at.Ge(1)] = 1000
    k: Annotated[int, at.Ge(1)] = 1000
    batch: Annotated[int, at.Ge(1)] = 64
    body: Annotated[int, at.Ge(1)] = 1 << 18
    concurrency: Annotated[int, at.Ge(1)] = 512
    rate: Annotated[float, at.Ge(0)] = 0.0
    seconds: Annotated[float, at.Interval(gt=0)] = 10.0

    def __post_init__(self) -> None:
        check_fields(self)


class Refused(Exception):
    """A request that is not answered, and the status and reason that are sent instead."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


class Guard:
    """ASGI middleware that lets requests through to ``app`` within `Limits`.

    Bodies are read here, so that the application sees whole ones only, and slow ones take no place from
    others. Without a token, only requests to a loopback name are answered: a page in a browser on this
    machine could otherwise reach the server through a name of its own.

    Parameters
    ----------
    app : what is guarded.
    limits : see `Limits`.
    token : that ``Authorization: Bearer`` must give; "" for none.
    """

    def __init__(self, app: Any, limits: Limits, token: str = "") -> None:
        self.app, self.limits, self.token = app, limits, token
        self.under_way = 0
        self._buckets = _Buckets(limits.rate)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self._admit(scope)
            body = await self._body(scope, receive)
            await self._answer(scope, _given(body, receive), sent)
        except Refused as refusal:
            if begun:  # too late for another status: end the connection, so that nobody takes it for whole
                raise
            await _refuse(send, refusal)

    def _admit(self, scope: Message) -> None:
        headers = dict(scope["headers"])
        if not self.token and _host(headers) not in LOOPBACK:
            raise Refused(400, "without a token, this server answers to 127.0.0.1 and localhost only")
        if self.token and scope["path"] != OPEN and not _knows(headers, self.token):
            raise Refused(
                401, "give the server's token: Authorization: Bearer TOKEN", www_authenticate="Bearer"
            )
        client = (scope.get("client") or ("",))[0]
        wait = self._buckets.take(client, time.monotonic())
        if wait:
            most = f"{self.limits.rate:g} requests a second"
            raise Refused(429, f"no more than {most} of one client", retry_after=str(int(wait) + 1))

    async def _body(self, scope: Message, receive: Receive) -> bytes:
        most = self.limits.body
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise Refused(413, f"the body has {int(length)} bytes, more than {most}")
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise Refused(413, f"the body has more than {most} bytes")
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {self.limits.seconds:g} s") from None

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        if self.under_way >= self.limits.concurrency:
            raise Refused(503, f"{self.under_way} requests are under way; try again", retry_after="1")
        self.under_way += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                await self.app(scope, receive, send)
        except TimeoutError:
            raise Refused(
                503, f"no answer within {self.limits.seconds:g} s; ask for less, or again", retry_after="1"
            ) from None
        finally:
            self.under_way -= 1


class _Buckets:
    """Token buckets: each client's holds two seconds' worth of requests and fills up at the rate."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, client: str, now: float) -> float:
        """Take one; gives the seconds until there is one again, if there is none."""
        if not self.rate:
            return 0.0
        most = max(1.0, 2 * self.rate)
        level, since = self._levels.get(client, (most, now))
        level = min(most, level + (now - since) * self.rate)
        if len(self._levels) >= _CLIENTS:
            quiet = most / self.rate
            self._levels = {c: held for c, held in self._levels.items() if now - held[1] < quiet}
        self._levels[client] = (level - 1 if level >= 1 else level, now)
        return 0.0 if level >= 1 else (1 - level) / self.rate


def _host(headers: dict[bytes, bytes]) -> str:
    """The name in the request's Host, without port and brackets."""
    name = headers.get(b"host", b"").decode("latin-1")
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def _knows(headers: dict[bytes, bytes], token: str) -> bool:
    given = headers.get(b"authorization", b"")
    return hmac.compare_digest(given, b"Bearer " + token.encode())


def _given(body: bytes, receive: Receive) -> Receive:
    """Hands the body over once, then tells of the client's leaving."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, refusal: Refused) -> None:
    """Answer and close: what is left of the request is not read."""
    content = json.dumps({"detail": refusal.reason}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
    headers |= {name.replace("_", "-"): value for name, value in refusal.headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
