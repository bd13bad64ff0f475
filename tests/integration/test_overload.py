"""More at once than a cluster does in a second: everything succeeds whose deadline allows it."""

import asyncio
import collections

import pytest

from crdtkv import Client, CrdtkvError

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

LONG_S = 120.0


async def outcomes(calls: list[object]) -> dict[str, int]:
    results = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    return dict(
        collections.Counter(type(result).__name__ if isinstance(result, BaseException) else "ok" for result in results)
    )


async def found_down(client: Client) -> dict[str, int]:
    """Return how often each node has found another one down."""
    told = await client.status(timeout=10)
    return {name: node["counters"].get("members_down", 0) for name, node in told.items() if node is not None}


async def test_a_burst_of_one_client_succeeds_as_a_whole(eu: Client) -> None:
    assert await outcomes([eu.put(f"burst{n}", n, timeout=LONG_S) for n in range(8_000)]) == {"ok": 8_000}
    assert await outcomes([eu.get(f"burst{n}", timeout=LONG_S) for n in range(20_000)]) == {"ok": 20_000}


async def test_nobody_is_found_down_by_a_burst(eu: Client) -> None:
    before = await found_down(eu)
    await outcomes([eu.counter(f"burst{n % 50}").increment(timeout=LONG_S) for n in range(5_000)])
    assert await found_down(eu) == before
    assert sum([await eu.counter(f"burst{n}").value() for n in range(50)]) == 5_000


async def test_what_waits_in_the_client_until_its_deadline_was_not_sent(eu: Client) -> None:
    counter = eu.counter("impatient")
    calls = [counter.increment(timeout=0.05) for _ in range(5_000)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, CrdtkvError) for error in errors)
    unknown = sum(error.maybe_applied for error in errors if isinstance(error, CrdtkvError))
    counted = await counter.value(timeout=LONG_S)
    done = len(results) - len(errors)
    assert done <= counted <= done + unknown
