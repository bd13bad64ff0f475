"""The HTTP server of a node: `/healthz`, `/readyz`, `/metrics`, `/status`.

`/healthz` shows that the process runs its loop. `/readyz` shows that the node should get requests: it counts, its disk
has space, and it is linked to all other nodes, or (some time after its start) to so many that every key has a quorum.

Connections are bounded in number (above `CONNECTIONS_MAX`, the oldest idle one is closed for a new one; if there is
none, the new one gets 503) and in time: within `REQUEST_S` a connection must send a whole request and read the answer,
or it is closed. uvicorn's own limits count requests, not connections that never send one.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from crdtkv.admin import metrics
from crdtkv.errors import ConfigError
from crdtkv.node.core import NodeCore
from crdtkv.quorum.level import majority

#: How long a node that has just started waits for links to all others before it counts as ready with fewer.
LINKING_S = 5.0
CONNECTIONS_MAX = 64
REQUEST_S = 10.0
_REFUSAL = b"too many HTTP connections to this node: close some\n"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
) % (len(_REFUSAL), _REFUSAL)

Figures = Callable[[], Iterable[tuple[str, str, float]]]


def why_not_ready(core: NodeCore) -> str | None:
    """Return why a node should get no requests now, None if it should."""
    nodes = len(core.topology.nodes)
    replicas = min(core.topology.replication_factor, nodes)
    health = core.health
    linked = health.linked + 1
    # With more nodes than replicas some keys can be served earlier; wait until all can.
    needed = nodes - replicas + majority(replicas)
    if health.standing != "member":
        return f"the node is {health.standing}: it counts when it has enrolled and holds what the others hold"
    is_starting = time.monotonic() - core.started_s < LINKING_S
    if is_starting and health.learners:
        return f"{', '.join(health.learners)} do not count yet, waiting up to {LINKING_S:g} s"
    if is_starting and linked < nodes:
        return f"linked to {linked - 1} of {nodes - 1} other nodes, waiting up to {LINKING_S:g} s for the rest"
    if linked < needed:
        return f"linked to {linked - 1} other nodes, a quorum of every key needs {needed - 1}"
    if not health.has_disk_space:
        return "the disk is almost full: writes are refused"
    return None


def application(core: NodeCore, figures: Figures, is_draining: Callable[[], bool]) -> Starlette:
    """Return the web application of a node; `is_draining` returns whether it is about to stop."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        reason = "the node is about to stop" if is_draining() else why_not_ready(core)
        return PlainTextResponse(
            "ready\n" if reason is None else f"not ready: {reason}\n", 200 if reason is None else 503
        )

    async def show_metrics(_: Request) -> Response:
        return Response(metrics.exposition(core, figures()), media_type=metrics.CONTENT_TYPE)

    async def status(_: Request) -> Response:
        return JSONResponse({**core.status(), "figures": {name: value for name, _, value in figures()}})

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", show_metrics),
            Route("/status", status),
        ]
    )


class _BoundedProtocol(H11Protocol):
    """One HTTP connection; their number and duration are bounded."""

    _deadline: asyncio.TimerHandle | None = None
    _is_refused = False
    _made_at_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= CONNECTIONS_MAX and not self._evict():
            self._is_refused = True
            transport.write(_FULL)
            transport.close()
            return
        super().connection_made(transport)
        self._made_at_s = self.loop.time()
        self._deadline = self.loop.call_later(REQUEST_S, self._expire, self.cycle)

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    def eof_received(self) -> None:
        if not self._is_refused:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._is_refused:
            super().connection_lost(exc)

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _evict(self) -> bool:
        """Close the oldest idle connection; return False if there is none."""
        idle = [other for other in self.connections if isinstance(other, _BoundedProtocol) and other._is_idle]
        if not idle:
            return False
        oldest = min(idle, key=lambda other: other._made_at_s)
        self.connections.discard(oldest)
        oldest.transport.abort()
        return True

    def _expire(self, last: object) -> None:
        """Close the connection, unless it has completed a new request since the last check."""
        if self.cycle is last or not self._is_idle:
            self.transport.abort()
        else:
            self._deadline = self.loop.call_later(REQUEST_S, self._expire, self.cycle)


class _Server(uvicorn.Server):
    """uvicorn without signal handlers, because the node handles the signals of the process."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


class HttpFace:
    """The HTTP server of one node, in the node's own loop."""

    def __init__(self, host: str, port: int) -> None:
        """Bind the port.

        Raises:
            ConfigError: the port is in use.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            reason = (error.strerror or "").partition(" (")[0]
            raise ConfigError(
                f"{host}:{port}: the HTTP port cannot be used ({reason}): stop what uses it, or change "
                "http_port in datacenters.yaml"
            ) from None
        self._server: _Server | None = None

    async def serve(self, app: Starlette) -> None:
        """Serve until `stop`."""
        # uvicorn warns once per malformed request: a peer that sends many would fill the log.
        config = uvicorn.Config(
            app, http=_BoundedProtocol, ws="none", log_level="error", access_log=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Server(config)
        await self._server.serve(sockets=[self._socket])

    def close(self) -> None:
        """Release the port."""
        self._socket.close()

    def stop(self) -> None:
        """Ask the server to end."""
        if self._server is not None:
            self._server.should_exit = True
