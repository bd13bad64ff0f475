"""Rights of bounded counters between real nodes, over links and over NATS."""

import asyncio

import pytest

from crdtkv import LOCAL_ALL, Client, InsufficientRights

from .waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_was_stocked_in_one_data_center_is_sold_in_the_other(eu: Client, us: Client) -> None:
    here, there = eu.bcounter("rights:far"), us.bcounter("rights:far")
    await here.increment(10)
    await eventually(there.value, lambda value: value == 10)
    await there.decrement(4)
    await there.decrement(4)
    await there.decrement(2)
    with pytest.raises(InsufficientRights) as refused:
        await there.decrement()
    assert refused.value.fields == (1, 0, 0)
    await eventually(here.value, lambda value: value == 0)


async def test_of_many_that_sell_at_once_everywhere_exactly_as_many_succeed_as_there_was(
    eu: Client, us: Client
) -> None:
    await eu.bcounter("rights:rush").increment(30, consistency=LOCAL_ALL)
    await eventually(us.bcounter("rights:rush").value, lambda value: value == 30)

    async def sell(kv: Client) -> bool:
        while True:
            try:
                await kv.bcounter("rights:rush").decrement()
            except InsufficientRights as error:
                if error.value < error.requested:
                    return False
            else:
                return True

    sold = await asyncio.gather(*(sell(kv) for kv in (eu, us) for _ in range(20)))
    assert sum(sold) == 30
    for kv in (eu, us):
        await eventually(kv.bcounter("rights:rush").value, lambda value: value == 0)
