"""Waiting for what becomes true by itself: bounded, and a failure shows what was last seen."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from crdtkv import Client

PATIENCE_S = 60.0
POLL_S = 0.05

T = TypeVar("T")


async def eventually(
    read: Callable[[], Awaitable[T]], is_right: Callable[[T], bool], within_s: float = PATIENCE_S
) -> T:
    """Read until the outcome is right, and return it."""
    deadline = time.monotonic() + within_s
    while True:
        outcome = await read()
        if is_right(outcome):
            return outcome
        assert time.monotonic() < deadline, f"not so after {within_s:g} s, last seen: {outcome!r}"
        await asyncio.sleep(POLL_S)


async def nothing_lags(*clients: Client) -> None:
    """Wait until every node of the clients' data centers answers and has nothing left that others must confirm."""

    async def left() -> dict[str, str]:
        behind = {}
        for client in clients:
            for name, node in (await client.status()).items():
                if node is None:
                    behind[name] = "no answer"
                elif any(lag["rows"] or not lag["is_complete"] for lag in node["lag"].values()):
                    behind[name] = f"outbox {node['outbox_rows']}, lag {node['lag']}"
        return behind

    await eventually(left, lambda behind: not behind)
