"""A client looks at a node: it is shown what this node itself holds, as it is stored, once that is durable."""

from one_node import CLIENT, ME, OneNode, identity, to

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.wire.messages import EntriesReply, ErrorReply, InspectRequest, KeepHint, ReadReplica, WriteReplica


def entry(value: bytes, expires_at: int | None = None) -> bytes:
    empty = Entry.empty("register")
    return empty.merge(empty.delta("put", [value], Event(Dot("eu-2.00", 1), 1), None, expires_at)).to_bytes()


def test_a_replica_shows_what_it_stores_and_asks_nobody() -> None:
    node = OneNode()
    assert node.ask(InspectRequest(7, identity("k")))[CLIENT] == [EntriesReply(7, [None])]
    node.from_node("eu-2", WriteReplica(1, identity("k"), entry(b"v"), 0))
    node.sync()
    sent = node.ask(InspectRequest(8, identity("k")))
    assert sent == {CLIENT: [EntriesReply(8, [entry(b"v")])]}
    assert not to(sent, ReadReplica)


def test_what_has_expired_is_shown_as_it_is_stored() -> None:
    node = OneNode()
    expired = entry(b"v", expires_at=2)
    node.from_node("eu-2", WriteReplica(1, identity("k"), expired, 0))
    assert node.ask(InspectRequest(8, identity("k")))[CLIENT] == [EntriesReply(8, [expired])]
    assert node.get("k", level="ONE")[CLIENT] != [EntriesReply(1, [expired])]


def test_nothing_is_shown_that_could_still_be_lost() -> None:
    node = OneNode()
    node.from_node("eu-2", WriteReplica(1, identity("k"), entry(b"v"), 0))
    node.ask(InspectRequest(8, identity("k")))
    effects = node.core.parts.kernel.step.effects
    assert CLIENT not in effects.at_once
    assert effects.held[CLIENT] == [EntriesReply(8, [entry(b"v")])]


def test_a_fallback_replica_shows_its_hints() -> None:
    node = OneNode(nodes=4)
    key = node.key_here(is_mine=False)
    home = node.homes(key)[0]
    node.from_node("eu-2", KeepHint(1, home, identity(key), entry(b"v"), False))
    assert node.ask(InspectRequest(8, identity(key)))[CLIENT] == [EntriesReply(8, [entry(b"v")])]
    assert ME not in node.homes(key)


def test_what_is_no_key_is_refused() -> None:
    node = OneNode()
    (error,) = node.ask(InspectRequest(9, b"nobody\0register\0k"))[CLIENT]
    assert isinstance(error, ErrorReply)
    assert (error.id, error.code) == (9, "unknown_bucket")
