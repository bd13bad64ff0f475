"""Connections to NATS, with settings that follow from measurements.

nats-py's defaults give up after 60 attempts and detect a black hole after four minutes. Here a connection reconnects
for ever, and a silent server is detected within about ten seconds.
"""

import asyncio
import http.client
import json
import logging
import random
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client

from crdtkv.errors import BusError

MIN_VERSION = (2, 14, 3)

#: Errors of a server that refuses this user permanently.
_REFUSALS = ("authorization violation", "authentication expired", "authentication revoked", "authorization failed")

log = logging.getLogger("crdtkv.bus")

Callback = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


async def connect(
    url: str, name: str, lost: Callback = _nothing, regained: Callback = _nothing, must_be_let_in: bool = False
) -> Client:
    """Connect, retrying until it succeeds; afterwards nats-py reconnects by itself, for ever.

    `lost` and `regained` are called when the connection breaks and is established again. A server that refuses this
    user is retried like one that does not answer, because an operator may correct it; unless `must_be_let_in`.

    Raises:
        BusError: `must_be_let_in`, and the server refuses this user.
    """
    await _wait_for_server(url)
    while True:
        client, complaints = Client(), _Complaints(url)

        async def again(heard: "_Complaints" = complaints) -> None:
            heard.forget()
            await regained()

        connecting = asyncio.ensure_future(
            client.connect(
                url,
                name=name,
                error_cb=complaints.hear,
                disconnected_cb=lost,
                reconnected_cb=again,
                connect_timeout=2,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=random.uniform(0.2, 0.8),  # type: ignore[arg-type]  # noqa: S311 - jitter
                ping_interval=3,
                max_outstanding_pings=2,
                pending_size=16 * 1024 * 1024,
            )
        )
        try:
            ends: list[asyncio.Future[Any]] = [connecting, complaints.refused] if must_be_let_in else [connecting]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                connecting.result()
                return client
            raise BusError(complaints.refused.result())
        except (TimeoutError, OSError, nats.errors.Error) as error:
            log.warning("%s: connecting failed (%s): retrying", shown(url), error or type(error).__name__)
            await asyncio.sleep(random.uniform(0.3, 1.0))  # noqa: S311 - jitter
        finally:
            if not connecting.done():  # refused, or cancelled from outside
                connecting.cancel()
                await asyncio.gather(connecting, return_exceptions=True)
                await client.close()


class _Complaints:
    """The errors that nats-py reports while it retries: each is logged once, until the connection is established."""

    def __init__(self, url: str) -> None:
        self._url = shown(url)
        self._told: set[str] = set()
        #: The message, if the server refuses this user.
        self.refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hear(self, error: Exception) -> None:
        """Log an error that an operator must act on."""
        text = str(error) or type(error).__name__
        log.debug("nats: %s", text)
        if not any(reason in text.lower() for reason in _REFUSALS):
            return
        message = (
            f"{self._url}: the NATS server does not let this node in ({text.removeprefix('nats: ')}): put the user and "
            "password, or the token, into nats.url (nats://USER:PASSWORD@HOST:PORT, nats://TOKEN@HOST:PORT)"
        )
        if message not in self._told:
            self._told.add(message)
            log.warning("%s", message)
        if not self.refused.done():
            self.refused.set_result(message)

    def forget(self) -> None:
        """Log all errors again if they recur: the connection is established."""
        self._told.clear()


def shown(url: str) -> str:
    """Return a URL without credentials."""
    head, separator, rest = url.partition("://")
    return head + separator + rest.rpartition("@")[2]


async def _wait_for_server(url: str) -> None:
    """Wait until the address accepts connections: nats-py's own first connect would wait without a log line."""
    address = urlsplit(url)
    is_told = False
    while True:
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(address.hostname, address.port or 4222)
        except (OSError, TimeoutError) as error:
            if not is_told:
                log.warning("no NATS server at %s (%s): start it; retrying", shown(url), error or "no answer")
                is_told = True
            await asyncio.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - jitter
        else:
            writer.close()
            return


async def check_server(client: Client, url: str, monitor_url: str | None, payload_bytes: int) -> None:
    """Check that a NATS server may carry a durable cluster with messages of up to `payload_bytes`.

    Raises:
        BusError: it is too old, its payload limit is too small, or it acknowledges before it has fsynced.
    """
    url = shown(url)
    server = client.connected_server_version
    version = (server.major, server.minor, server.patch)
    if version < MIN_VERSION:
        told = ".".join(map(str, version))
        raise BusError(
            f"{url}: nats-server {told} loses streams: upgrade to {'.'.join(map(str, MIN_VERSION))} or newer"
        )
    if client.max_payload < payload_bytes:
        raise BusError(
            f"{url}: max_payload is {client.max_payload}: set 'max_payload: 8MB' in the server's configuration"
        )
    if monitor_url is None:
        log.warning("%s: without nats.monitor_url this node cannot check 'sync_interval: always'", url)
        return
    try:
        figures = await asyncio.to_thread(_fetch, f"{monitor_url}/varz")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise BusError(f"{shown(monitor_url)}: no answer ({error}): set 'http' in the server's configuration") from None
    settings: dict[str, Any] = _inside(_inside(figures, "jetstream"), "config")
    if not settings:
        raise BusError(f"{url}: JetStream is off: add 'jetstream {{ store_dir: …, sync_interval: always }}'")
    if not settings.get("sync_always"):
        raise BusError(f"{url}: acknowledges before it has fsynced: set 'sync_interval: always' in 'jetstream {{ }}'")


def _inside(document: Any, name: str) -> dict[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=3) as response:  # noqa: S310 - the scheme is checked by the configuration
        return json.load(response)
