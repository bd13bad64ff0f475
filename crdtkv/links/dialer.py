"""`Dialer`: keeps a link to an address: it connects, and reconnects for ever, with jitter."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable

from crdtkv.links.link import Link

CONNECT_TIMEOUT_S = 2.0
RETRY_MIN_S = 0.05
RETRY_MAX_S = 1.0


async def connect(make_link: Callable[[], Link], host: str, port: int, tls: ssl.SSLContext | None = None) -> Link:
    """Open one link.

    Raises:
        OSError: the address does not answer.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, link = await loop.create_connection(make_link, host, port, ssl=tls)
    except TimeoutError:
        raise OSError(f"{host}:{port} does not answer") from None
    return link


class Dialer:
    """One address that should always be connected; `link` is the last link that was made for it."""

    def __init__(self, make_link: Callable[[], Link], host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._make_link = make_link
        self._host, self._port = self.address = host, port
        self._tls = tls
        self._lost = asyncio.Event()
        self.link: Link | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._keep(), name=f"dial {self._host}:{self._port}")

    def lost(self) -> None:
        """Note that the current link is lost."""
        self._lost.set()

    def give_up(self) -> None:
        """Stop connecting, without waiting, and close the link."""
        if self._task is not None:
            self._task.cancel()
        if self.link is not None:
            self.link.close("the node has moved")

    async def stop(self) -> None:
        """Stop connecting; the owner closes an open link."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _new_link(self) -> Link:
        self.link = self._make_link()
        return self.link

    async def _keep(self) -> None:
        wait_s = RETRY_MIN_S
        while True:
            self._lost.clear()
            try:
                await connect(self._new_link, self._host, self._port, self._tls)
            except OSError:
                pass
            else:
                began_at = time.monotonic()
                await self._lost.wait()
                # Keep the longer pause if the other side closes every link soon after it was opened.
                if time.monotonic() - began_at > RETRY_MAX_S:
                    wait_s = RETRY_MIN_S
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            wait_s = min(wait_s * 2, RETRY_MAX_S)
