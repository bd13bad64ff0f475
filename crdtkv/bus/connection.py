"""Connections to NATS, with the settings that measurements forced.

nats-py's defaults give up after 60 attempts and notice a black hole after four minutes. Here a connection is kept for
ever, and a silent server is noticed within about ten seconds.
"""

import asyncio
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
MIN_PAYLOAD_BYTES = 4 * 1024 * 1024

log = logging.getLogger("crdtkv.bus")

Callback = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


async def connect(url: str, name: str, lost: Callback = _nothing, regained: Callback = _nothing) -> Client:
    """Connect, retrying until it succeeds; afterwards nats-py reconnects by itself, for ever.

    `lost` and `regained` are called when the connection breaks and stands again.
    """
    await _wait_for_server(url)
    while True:
        try:
            return await nats.connect(
                url,
                name=name,
                error_cb=_log_error,
                disconnected_cb=lost,
                reconnected_cb=regained,
                connect_timeout=2,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=random.uniform(0.2, 0.8),  # noqa: S311 - jitter
                ping_interval=3,
                max_outstanding_pings=2,
                pending_size=16 * 1024 * 1024,
            )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            log.warning("%s: connecting failed (%s): trying on", url, error or type(error).__name__)
            await asyncio.sleep(random.uniform(0.3, 1.0))  # noqa: S311 - jitter


async def _wait_for_server(url: str) -> None:
    """Wait until somebody listens there: nats-py's own first connect would wait in silence."""
    address = urlsplit(url)
    is_told = False
    while True:
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(address.hostname, address.port or 4222)
        except (OSError, TimeoutError) as error:
            if not is_told:
                log.warning("no NATS server at %s (%s): start it; trying on", url, error or "no answer")
                is_told = True
            await asyncio.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - jitter
        else:
            writer.close()
            return


async def check_server(client: Client, url: str, monitor_url: str | None) -> None:
    """Check that a NATS server may carry a durable cluster.

    Raises:
        BusError: too old, payload limit too small, or it acknowledges before it has fsynced.
    """
    server = client.connected_server_version
    version = (server.major, server.minor, server.patch)
    if version < MIN_VERSION:
        told = ".".join(map(str, version))
        raise BusError(
            f"{url}: nats-server {told} loses streams: upgrade to {'.'.join(map(str, MIN_VERSION))} or newer"
        )
    if client.max_payload < MIN_PAYLOAD_BYTES:
        raise BusError(
            f"{url}: max_payload is {client.max_payload}: set 'max_payload: 8MB' in the server's configuration"
        )
    if monitor_url is None:
        log.warning("%s: without nats.monitor_url nobody can check that it runs with 'sync_interval: always'", url)
        return
    try:
        figures: dict[str, Any] = await asyncio.to_thread(_fetch, f"{monitor_url}/varz")
    except (OSError, ValueError) as error:
        raise BusError(f"{monitor_url}: no answer ({error}): set 'http' in the server's configuration") from None
    settings = figures.get("jetstream", {}).get("config", {})
    if not settings:
        raise BusError(f"{url}: JetStream is off: add 'jetstream {{ store_dir: …, sync_interval: always }}'")
    if not settings.get("sync_always"):
        raise BusError(f"{url}: acknowledges before it has fsynced: set 'sync_interval: always' in 'jetstream {{ }}'")


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=3) as response:  # noqa: S310 - the scheme is checked by the configuration
        return json.load(response)


async def _log_error(error: Exception) -> None:
    log.debug("nats: %s", error or type(error).__name__)
