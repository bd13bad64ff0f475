"""What `connect` takes, and what it says when something else answers than was meant."""

from typing import Any

import pytest

import crdtkv
from crdtkv import LOCAL_ALL, InvalidRequest, ProtocolError
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import free_ports

from .conftest import addresses

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("form", ["several", "list", "tuple", "comma list", "url", "url with a data center"])
async def test_addresses_are_taken_in_many_forms(cluster: LocalCluster, form: str) -> None:
    some = addresses(cluster.config, "eu")[:2]
    targets: dict[str, tuple[Any, ...]] = {
        "several": tuple(some),
        "list": (some,),
        "tuple": (tuple(some),),
        "comma list": (",".join(some),),
        "url": (f"crdtkv://{','.join(some)}",),
        "url with a data center": (f"crdtkv://{','.join(addresses(cluster.config, 'us') + some)}/?datacenter=eu",),
    }
    async with crdtkv.connect(*targets[form]) as kv:
        assert kv.datacenter == "eu"
        await kv.put(f"connected by {form}", 1)


async def test_a_url_may_say_the_level_and_the_call_overrides_it(cluster: LocalCluster) -> None:
    url = f"crdtkv://{addresses(cluster.config, 'eu')[0]}/?consistency=most&timeout=7"
    with pytest.raises(InvalidRequest, match="unknown consistency level 'most'"):
        crdtkv.connect(url)
    async with crdtkv.connect(url, consistency=LOCAL_ALL) as kv:
        await kv.put("level of the call", 1)


@pytest.mark.parametrize(
    "name", ["mars", "EU", "eu ", "", "x" * 100_000, "caf\udce9"], ids=lambda name: repr(name)[:12]
)
async def test_a_data_center_that_does_not_exist_is_refused_with_those_that_do(
    cluster: LocalCluster, name: str
) -> None:
    with pytest.raises(InvalidRequest, match="in the cluster: one of eu, us"):
        await crdtkv.connect(addresses(cluster.config, "eu"), datacenter=name)


async def test_a_data_center_that_exists_and_is_out_of_reach_is_not_taken_for_one_that_does_not(
    cluster: LocalCluster,
) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    async with crdtkv.connect(dead, *addresses(cluster.config, "eu"), datacenter="us") as kv:
        assert kv.datacenter == "eu"


async def test_a_nats_server_is_named_when_it_answers_in_the_place_of_a_node(cluster: LocalCluster) -> None:
    address = cluster.config.datacenters["eu"].nats.url.removeprefix("nats://")
    with pytest.raises(
        ProtocolError, match=f"{address}: this is a NATS server, not a node: connect to a node's `port`"
    ):
        await crdtkv.connect(address)


async def test_the_http_port_of_a_node_is_named_when_it_answers_in_the_place_of_its_port(cluster: LocalCluster) -> None:
    node = cluster.config.datacenters["eu"].nodes[0]
    with pytest.raises(ProtocolError, match=r"this is an HTTP server, not a node \(it may be a node's http_port\)"):
        await crdtkv.connect(f"{node.host}:{node.http_port}")


async def test_a_wrong_port_among_right_ones_does_no_harm(cluster: LocalCluster) -> None:
    wrong = cluster.config.datacenters["eu"].nats.url.removeprefix("nats://")
    async with crdtkv.connect(wrong, *addresses(cluster.config, "eu")) as kv:
        await kv.put("one wrong port", 1)
