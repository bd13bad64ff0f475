"""A client whose data center is unreachable: which requests continue elsewhere, and how it reports that."""

import asyncio

import pytest

import crdtkv
from crdtkv.local.cluster import LocalCluster
from tests.integration.conftest import addresses
from tests.integration.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]


async def test_linearizable_stays_in_its_data_center_and_every_move_is_told(cluster: LocalCluster) -> None:
    everywhere = [*addresses(cluster.config, "eu"), *addresses(cluster.config, "us")]
    moves: list[tuple[str, str]] = []
    async with crdtkv.connect(*everywhere, datacenter="eu") as kv:
        kv.on_move(lambda before, now: moves.append((before, now)))
        await kv.put("pinned", 2, consistency=crdtkv.LINEARIZABLE)
        assert (kv.datacenter, kv.moves) == ("eu", 0)

        eu = [node.name for node in cluster.config.datacenters["eu"].nodes]
        await asyncio.gather(*(cluster.nodes[name].stop() for name in eu))
        with pytest.raises(crdtkv.NoNodeReachable, match="LINEARIZABLE holds within one data center only"):
            await kv.get("pinned", consistency=crdtkv.LINEARIZABLE, timeout=1)
        assert moves == []
        assert await kv.get("elsewhere", "nothing") == "nothing"
        assert (kv.datacenter, kv.moves, moves) == ("us", 1, [("eu", "us")])

        await asyncio.gather(*(cluster.start_node(name) for name in eu))

        async def where() -> str:
            await kv.get("elsewhere")
            return kv.datacenter

        await eventually(where, lambda name: name == "eu")
        assert await kv.get("pinned", consistency=crdtkv.LINEARIZABLE) == 2
        assert moves == [("eu", "us"), ("us", "eu")]
