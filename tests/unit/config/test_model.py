"""What a configuration answers: buckets, peers, addresses between data centers, the first topology."""

from crdtkv.config.loader import parse
from crdtkv.ring.topology import RingNode, Topology

CONFIG = parse("""
cluster: shop
partitions: 64
buckets:
  carts: { consistency: ONE }
datacenters:
  us:
    replication_factor: 2
    nats: { url: nats://us:4222 }
    nodes:
      - { name: us-2, host: h2, port: 2, http_port: 12, zone: b, weight: 2 }
      - { name: us-1, host: h1, port: 1, http_port: 11, zone: a }
  eu:
    nats: { url: nats://eu:4222, url_from: { us: nats://proxy:9 } }
    nodes: [{ name: eu-1, port: 3, http_port: 13 }]
  ap:
    nats: { url: nats://ap:4222 }
    nodes: [{ name: ap-1, port: 4, http_port: 14 }]
""")


def test_the_default_bucket_exists_without_being_declared() -> None:
    assert {name: bucket.consistency for name, bucket in CONFIG.all_buckets.items()} == {
        "default": "LOCAL_QUORUM",
        "carts": "ONE",
    }


def test_a_declared_default_bucket_is_the_declared_one() -> None:
    config = CONFIG.model_validate({**CONFIG.model_dump(), "buckets": {"default": {"consistency": "ANY"}}})
    assert config.all_buckets["default"].consistency == "ANY"


def test_the_peers_of_a_data_center_are_the_others_sorted() -> None:
    assert CONFIG.peers_of("eu") == ["ap", "us"]


def test_nats_is_reached_by_its_own_url_unless_the_asker_has_another() -> None:
    assert CONFIG.nats_url("eu", seen_from="us") == "nats://proxy:9"
    assert CONFIG.nats_url("eu", seen_from="ap") == "nats://eu:4222"
    assert CONFIG.nats_url("eu", seen_from="eu") == "nats://eu:4222"


def test_the_first_topology_lists_the_nodes_by_name_under_epoch_1() -> None:
    assert CONFIG.first_topology("us") == Topology(
        cluster="shop",
        datacenter="us",
        epoch=1,
        partitions=64,
        replication_factor=2,
        nodes=(RingNode("us-1", "h1", 1, "a", 1.0), RingNode("us-2", "h2", 2, "b", 2.0)),
    )


def test_a_node_is_found_with_its_data_center() -> None:
    found = CONFIG.find_node("us-2")
    assert found is not None
    assert (found[0], found[1].http_port) == ("us", 12)
    assert CONFIG.find_node("us-9") is None
