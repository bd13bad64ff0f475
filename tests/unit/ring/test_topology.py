"""The topology document: people and programs read the same JSON, and anything else is refused as no document."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import ProtocolError
from crdtkv.ring.topology import RingNode, Topology

NODES = st.builds(
    RingNode,
    name=st.text(min_size=1, max_size=8),
    host=st.text(max_size=8),
    port=st.integers(1, 65535),
    zone=st.text(max_size=4),
    weight=st.floats(0.01, 64),
)
TOPOLOGIES = st.builds(
    Topology,
    cluster=st.text(max_size=8),
    datacenter=st.text(max_size=8),
    epoch=st.integers(1, 2**48 - 1),
    partitions=st.sampled_from([1, 256, 65536]),
    replication_factor=st.integers(1, 9),
    nodes=st.lists(NODES, min_size=1, max_size=4, unique_by=lambda node: node.name).map(tuple),
)
EU = Topology(
    cluster="shop",
    datacenter="eu",
    epoch=3,
    partitions=256,
    replication_factor=3,
    nodes=(RingNode("eu-1", "10.0.0.1", 7401, "a", 1.0), RingNode("eu-2", "10.0.0.2", 7401, "b", 2.0)),
)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(EU.to_json()), **fields}).encode()


def changed_node(**fields: object) -> bytes:
    first, second = json.loads(EU.to_json())["nodes"]
    return changed(nodes=[first, {**second, **fields}])


@given(TOPOLOGIES)
def test_a_document_is_read_as_it_was_written(topology: Topology) -> None:
    assert Topology.from_json(topology.to_json()) == topology


def test_a_person_can_read_a_document() -> None:
    document = EU.to_json().decode()
    assert '"name": "eu-2"' in document
    assert len(document.splitlines()) > 10


def test_a_node_is_found_by_its_name() -> None:
    assert EU.node("eu-2") == EU.nodes[1]
    assert EU.node("eu-3") is None
    assert EU.nodes[0].address == "10.0.0.1:7401"


def test_another_epoch_is_the_same_ring_and_another_node_is_not() -> None:
    assert EU.same_ring(dataclasses.replace(EU, epoch=9))
    assert not EU.same_ring(dataclasses.replace(EU, nodes=EU.nodes[:1]))
    assert not EU.same_ring(dataclasses.replace(EU, replication_factor=2))
    assert not EU.same_ring(dataclasses.replace(EU, nodes=(EU.nodes[0], dataclasses.replace(EU.nodes[1], weight=1.0))))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half a document"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"7", id="a number"),
        pytest.param(b'"x"', id="a string"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(changed(owner="me"), id="an unknown field"),
        pytest.param(changed(nodes=None), id="nodes that are null"),
        pytest.param(changed(nodes=[]), id="no nodes"),
        pytest.param(changed(nodes=["eu-1"]), id="a node that is a name"),
        pytest.param(changed(nodes=[{"name": "eu-1"}]), id="a node without its fields"),
        pytest.param(changed_node(rack="r1"), id="a node with an unknown field"),
        pytest.param(changed(epoch=0), id="an epoch of 0"),
        pytest.param(changed(partitions=0), id="no partitions"),
        pytest.param(changed(replication_factor=0), id="no replicas"),
    ],
)
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(ProtocolError):
        Topology.from_json(document)


@pytest.mark.parametrize("field", ["epoch", "partitions", "replication_factor"])
@pytest.mark.parametrize("value", ["3", None, [3], 1.5, True], ids=repr)
def test_a_document_whose_numbers_are_something_else_is_refused(field: str, value: object) -> None:
    with pytest.raises(ProtocolError):
        Topology.from_json(changed(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", 7), ("name", "\ud800"), ("host", "\ud800"), ("zone", ["a"]), ("port", True)],
        *[("weight", "1"), ("weight", None), ("weight", True), ("weight", float("nan")), ("weight", 10**400)],
    ],
    ids=ascii,
)
def test_a_document_with_a_node_no_ring_can_be_built_of_is_refused(field: str, value: object) -> None:
    with pytest.raises(ProtocolError):
        Topology.from_json(changed_node(**{field: value}))


def test_a_document_that_names_a_node_twice_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Topology.from_json(changed_node(name="eu-1"))
