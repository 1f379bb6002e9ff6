"""Serving an application by uvicorn, with a deadline for the head of a request, which uvicorn lacks."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from etude.errors import InputError
from etude.site.guard import LOOPBACK

_HEAD_BYTES = 16_384


class Server:
    """An application on a socket that is bound already, so that a port in use is told before anything else.

    Parameters
    ----------
    app : an ASGI application.
    host, port : to listen on; port 0 for any that is free.
    token : that the application asks for; needed for another host than loopback.
    seconds : that the head of a request may take, and that requests under way have when the server stops.
    connections : open at once; further ones get 503.

    Raises
    ------
    InputError : naming ``token`` if a host that others reach has none, ``port`` if it cannot be had.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str,
        port: int,
        token: str = "",
        seconds: float = 10.0,
        connections: int = 2048,
    ) -> None:
        check_host(host, token)
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=punctual(seconds),
                limit_concurrency=connections,
                backlog=connections,
                h11_max_incomplete_event_size=_HEAD_BYTES,
                timeout_graceful_shutdown=int(seconds) + 1,
                server_header=False,
                access_log=False,
                log_level="warning",
            )
        )

    def run(self) -> None:
        """Serve until interrupted, or stopped."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run`, once the requests under way are answered."""
        self._server.should_exit = True


def check_host(host: str, token: str) -> None:
    """Raise `InputError` if others could reach the server and nothing would ask who they are."""
    if host not in LOOPBACK and not token:
        raise InputError(
            "token", f"{host} is reached by others: set $ETUDE_TOKEN (or --token), or leave the host out"
        )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that asyncio knows it for TCP, and lets no answer wait for an acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise InputError("port", f"{host}:{port} cannot be had: {error.strerror or error}") from error
    return made


def punctual(seconds: float) -> type[H11Protocol]:
    """HTTP/1.1 connections that are closed when a request's head takes longer than this to come."""

    class Punctual(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:  # a request is under way
                self._stop()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _stop(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Punctual
