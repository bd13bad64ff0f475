"""Observes the other nodes: when they report the struck node as down, and when all replicas are equal again."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from striking.probe import Probe

POLL_S = 0.05
READ_POLL_S = 0.1
#: The number of keys per request; if any is missing, a pause follows, so that the requests stay cheap.
KEYS_A_READ = 100
GIVE_UP_S = 120.0


class Detection:
    """When (monotonic seconds) each other node first reported the struck one as down, or closed its link."""

    def __init__(self) -> None:
        self.down_at: dict[str, float] = {}
        self.unlinked_at: dict[str, float] = {}

    async def watch(self, probe: Probe, struck: str) -> None:
        """Ask one node until it has noticed both."""
        while probe.name not in self.down_at or probe.name not in self.unlinked_at:
            told = await probe.status()
            now = time.monotonic()
            if told is not None and told["members"][struck]["state"] == "down":
                self.down_at.setdefault(probe.name, now)
            if told is not None and struck not in told["peers_up"]:
                self.unlinked_at.setdefault(probe.name, now)
            await asyncio.sleep(POLL_S)


async def filled(probe: Probe, keys: Sequence[str]) -> float:
    """Wait until a node holds all these keys itself; return when it did. The keys must not change meanwhile.

    Raises:
        TimeoutError: it does not.
    """
    left = list(keys)
    async with asyncio.timeout(GIVE_UP_S):
        while left:
            asked = left[-KEYS_A_READ:]
            held = await probe.holds(asked)
            found = set() if held is None else {key for key, entry in zip(asked, held, strict=True) if entry}
            left[-KEYS_A_READ:] = [key for key in asked if key not in found]
            if len(found) < len(asked):
                await asyncio.sleep(READ_POLL_S)
    return time.monotonic()


async def equal(probes: Iterable[Probe], keys: Sequence[str]) -> tuple[float, int]:
    """Wait until all nodes hold the same bytes of all keys; no client may write meanwhile.

    Return when that was so, and how many keys differed at first.

    Raises:
        TimeoutError: some still differ.
    """
    left, first = list(keys), -1
    async with asyncio.timeout(GIVE_UP_S):
        while True:
            began = time.monotonic()
            held = await asyncio.gather(*(probe.holds(left) for probe in probes))
            answered = [entries for entries in held if entries is not None]
            if len(answered) == len(held):
                left = [key for key, *entries in zip(left, *answered, strict=True) if len(set(entries)) > 1]
                first = len(left) if first < 0 else first
                if not left:
                    return began, first
            await asyncio.sleep(READ_POLL_S)


async def nothing_lags(probes: Iterable[Probe]) -> None:
    """Wait until other data centers have confirmed everything these nodes had to send.

    Raises:
        TimeoutError: they do not.
    """
    async with asyncio.timeout(GIVE_UP_S):
        for probe in probes:
            while True:
                told = await probe.status()
                if told is not None and all(lag["is_complete"] and not lag["rows"] for lag in told["lag"].values()):
                    break
                await asyncio.sleep(READ_POLL_S)
