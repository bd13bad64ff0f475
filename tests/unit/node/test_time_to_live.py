"""Time to live: from the request or the bucket, the same end on all replicas, and no trace after the collection."""

from typing import Any

import pytest
from several_nodes import GRACE_S, KEY, STEP_S, Cluster, config

from crdtkv.causality.hybrid_clock import from_wall_ms
from crdtkv.config.model import ClusterConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InvalidRequest
from crdtkv.ids import identity_of
from crdtkv.node.coordinate.mutation_flow import MAX_TTL_MS
from crdtkv.storage import rows
from crdtkv.wire.messages import ErrorReply

TTL_S = 5.0
TTL_MS = int(TTL_S * 1000)
SESSION = identity_of("sessions", "register", "ann")
X = ["set", b"x"]
BUCKETS: dict[str, Any] = {"sessions": {"ttl_s": TTL_S}}


def with_sessions() -> ClusterConfig:
    return config(buckets=BUCKETS)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(with_sessions())


def shown(entry: Entry | None) -> str:
    return repr(entry.state) if entry is not None else "nothing"


def is_there(cluster: Cluster, key: bytes = KEY) -> bool:
    entry = cluster.read(key)
    return entry is not None and not entry.is_tombstone


def test_what_was_written_with_a_time_to_live_is_absent_after_it(cluster: Cluster) -> None:
    cluster.mutate("put", b"books", ttl_ms=TTL_MS)
    cluster.run(TTL_S - STEP_S)
    assert is_there(cluster)
    cluster.run(STEP_S)
    assert not is_there(cluster)


def test_a_bucket_says_how_long_its_keys_live(cluster: Cluster) -> None:
    cluster.mutate("put", b"books", key=SESSION)
    cluster.mutate("put", b"books")
    cluster.run(TTL_S - STEP_S)
    assert is_there(cluster, SESSION)
    cluster.run(STEP_S)
    assert not is_there(cluster, SESSION)
    assert is_there(cluster)


def test_a_request_says_better_than_the_bucket(cluster: Cluster) -> None:
    for_ever, shorter, longer = (identity_of("sessions", "register", name) for name in ("ann", "bob", "cat"))
    cluster.mutate("put", b"books", key=for_ever, ttl_ms=0)
    cluster.mutate("put", b"books", key=shorter, ttl_ms=1000)
    cluster.mutate("put", b"books", key=longer, ttl_ms=2 * TTL_MS)
    cluster.run(1 + STEP_S)
    assert not is_there(cluster, shorter)
    cluster.run(TTL_S)
    assert is_there(cluster, longer)
    cluster.run(3 * TTL_S)
    assert not is_there(cluster, longer)
    assert is_there(cluster, for_ever)


@pytest.mark.parametrize("at", ["home", "another node"])
def test_an_operation_that_is_forwarded_takes_its_time_to_live_along(cluster: Cluster, at: str) -> None:
    node = cluster.homes[1] if at == "home" else cluster.fallback
    reply = cluster.mutate("put", b"books", at=node, ttl_ms=TTL_MS)
    entry = cluster.read(at=cluster.fallback)
    assert entry is not None
    assert list(entry.expiries.values()) == [reply.timestamp + from_wall_ms(TTL_MS)]


def test_all_replicas_cease_to_show_it_at_the_same_hybrid_time(cluster: Cluster) -> None:
    for number, home in enumerate(cluster.homes):
        cluster.wall_offset_ms[home] = 400 * number
    expires_at = cluster.mutate("put", b"books", ttl_ms=TTL_MS).timestamp + from_wall_ms(TTL_MS)
    seen_there: set[tuple[str, bool]] = set()
    for _ in range(int(2 * TTL_S / STEP_S)):
        cluster.run(STEP_S)
        for home in cluster.homes:
            entry = cluster.read(at=home, level="ONE")
            assert entry is not None
            assert entry.is_tombstone == (cluster.cores[home].parts.replica.hybrid_now >= expires_at)
            seen_there.add((home, entry.is_tombstone))
    assert len(seen_there) == 2 * len(cluster.homes)
    assert len({cluster.stored(home) for home in cluster.homes}) == 1


def test_a_put_without_a_time_to_live_over_one_with_it_lives_for_ever(cluster: Cluster) -> None:
    cluster.mutate("put", b"books", ttl_ms=TTL_MS)
    cluster.mutate("put", b"lamps", at=cluster.homes[1])
    cluster.run(10 * TTL_S)
    assert is_there(cluster)
    assert len(cluster.cores[cluster.homes[0]].parts.replica.tombstones) == 0


def test_a_put_with_a_time_to_live_over_one_without_it_expires(cluster: Cluster) -> None:
    cluster.mutate("put", b"books")
    cluster.mutate("put", b"lamps", at=cluster.homes[1], ttl_ms=TTL_MS)
    cluster.run(TTL_S + STEP_S)
    assert not is_there(cluster)


def test_each_of_two_siblings_lives_its_own_time(cluster: Cluster) -> None:
    read = cluster.mutate("put", b"books", ttl_ms=TTL_MS)
    empty = Entry.empty("register").context
    cluster.mutate("put", b"lamps", seen=empty)
    entry = cluster.read()
    assert entry is not None
    assert len(list(entry.state.dots())) == 2
    cluster.run(TTL_S)
    entry = cluster.read()
    assert entry is not None
    assert [dot.counter for dot in entry.state.dots()] == [read.counter + 1]


@pytest.mark.parametrize(
    ("type_tag", "old", "new", "expected"),
    [
        ("register", ["put", b"\x01"], ["put", b"\x02"], "=02)"),
        ("lww", ["put", b"\x01"], ["put", b"\x02"], "=02)"),
        ("counter", ["increment", 5], ["increment", 2], "counter(2)"),
        ("set", ["add", b"\x01"], ["add", b"\x02"], "set(02)"),
        ("rwset", ["remove", b"\x02"], ["add", b"\x01"], "rwset(01)"),
        ("gset", ["add", b"\x01"], ["add", b"\x02"], "gset(02)"),
        ("flag", ["enable"], ["enable"], "flag(on)"),
        ("dwflag", ["disable"], ["enable"], "dwflag(on)"),
        ("maxreg", ["set", 9], ["set", 5], "maxreg(5)"),
        ("minreg", ["set", 1], ["set", 5], "minreg(5)"),
        ("hll", ["add", b"\x01"], ["add", b"\x02"], "hll(1)"),
        ("board", ["increment", b"\x01", 9], ["increment", b"\x01", 2], "board(01=2)"),
        (
            "map",
            ["update", ["set", b"x"], "add", b"\x01"],
            ["update", ["set", b"x"], "add", b"\x02"],
            "map(78=set(02))",
        ),
    ],
)
def test_a_key_that_is_written_again_does_not_show_what_had_expired(
    cluster: Cluster, type_tag: str, old: list[Any], new: list[Any], expected: str
) -> None:
    key = identity_of("default", type_tag, "k")
    cluster.mutate(*old, key=key, ttl_ms=TTL_MS)
    cluster.run(TTL_S)
    assert not is_there(cluster, key)
    cluster.mutate(*new, key=key, at=cluster.homes[1])
    for at in cluster.homes:
        assert shown(cluster.read(key, at=at)).endswith(expected)
    cluster.run(5 * GRACE_S)
    assert shown(cluster.read(key)).endswith(expected)
    assert len({cluster.stored(home, key) for home in cluster.homes}) == 1


def test_an_element_that_expired_is_cleared_by_who_writes_next(cluster: Cluster) -> None:
    key = identity_of("default", "set", "k")
    cluster.mutate("add", b"\x01", key=key, ttl_ms=TTL_MS)
    cluster.run(TTL_S)
    stored = cluster.stored(cluster.homes[0], key)
    assert stored is not None
    assert "set(01)" in repr(Entry.from_bytes(stored))
    cluster.mutate("add", b"\x02", key=key)
    for home in cluster.homes:
        stored = cluster.stored(home, key)
        assert stored is not None
        assert repr(Entry.from_bytes(stored).state) == "set(02)"
        assert not Entry.from_bytes(stored).expiries


def test_an_expired_key_is_collected_after_the_grace_on_all_replicas_and_not_before(cluster: Cluster) -> None:
    cluster.run(30)
    empty = {name: core.parts.anti_entropy.roots() for name, core in cluster.cores.items()}
    cluster.mutate("put", b"books", ttl_ms=3 * TTL_MS)
    for _ in range(int((3 * TTL_S + GRACE_S - 1) / STEP_S)):
        cluster.run(STEP_S)
        assert cluster.holders() == sorted(cluster.homes)
    assert cluster.counted("collection_rounds") == 0
    cluster.run(2 * GRACE_S + 5)
    assert cluster.holders() == []
    assert cluster.counted("tombstones_collected") == 3
    assert {name: core.parts.anti_entropy.roots() for name, core in cluster.cores.items()} == empty
    for store in cluster.stores.values():
        assert store.scan(*rows.DATA_RANGE, 10) == store.scan(*rows.TOMBSTONE_RANGE, 10) == []


@pytest.mark.parametrize(("type_tag", "call"), [("counter", ["increment", 5]), ("lww", ["put", b"\x01"])])
def test_a_key_of_a_type_that_keeps_what_expired_is_collected_too(
    cluster: Cluster, type_tag: str, call: list[Any]
) -> None:
    key = identity_of("default", type_tag, "k")
    cluster.mutate(*call, key=key, ttl_ms=TTL_MS)
    cluster.run(TTL_S + 4 * GRACE_S)
    assert cluster.holders(key) == []
    cluster.mutate(*call, key=key)
    assert is_there(cluster, key)


def test_an_expired_key_that_is_written_again_within_the_grace_is_not_collected(cluster: Cluster) -> None:
    cluster.mutate("put", b"books", ttl_ms=TTL_MS)
    cluster.run(TTL_S + GRACE_S + 2)
    cluster.mutate("put", b"lamps")
    cluster.run(5 * GRACE_S)
    assert is_there(cluster)
    assert cluster.cores[cluster.homes[0]].parts.collection.snapshot == {"rows": 0, "waiting_for": {}}


def test_what_a_remove_hides_is_not_collected_while_it_may_appear_again(cluster: Cluster) -> None:
    key = identity_of("default", "rwset", "k")
    # Two clients that had read nothing: the remove wins, for a while longer than the grace.
    nothing = Entry.empty("rwset").context
    cluster.mutate("remove", b"\x01", key=key, seen=nothing, ttl_ms=int(6 * GRACE_S * 1000))
    cluster.mutate("add", b"\x01", key=key, seen=nothing)
    assert not is_there(cluster, key)
    cluster.run(5 * GRACE_S)
    assert cluster.holders(key) == sorted(cluster.homes)
    cluster.run(GRACE_S)
    assert shown(cluster.read(key)) == "rwset(01)"
    cluster.run(5 * GRACE_S)
    assert shown(cluster.read(key)) == "rwset(01)"


def test_after_a_restart_it_is_still_known_when_a_key_expires(cluster: Cluster) -> None:
    cluster.mutate("put", b"books", ttl_ms=TTL_MS)
    for home in cluster.homes:
        cluster.stop(home)
        cluster.start(home)
    cluster.run(3)
    assert is_there(cluster)
    cluster.run(TTL_S)
    assert not is_there(cluster)
    cluster.run(4 * GRACE_S)
    assert cluster.holders() == []


def test_the_longest_time_to_live_is_a_century_and_a_longer_one_is_refused(cluster: Cluster) -> None:
    cluster.mutate("put", b"books", ttl_ms=MAX_TTL_MS)
    assert is_there(cluster)
    reply = cluster.try_to_mutate("put", b"lamps", ttl_ms=MAX_TTL_MS + 1)
    assert isinstance(reply, ErrorReply)
    assert reply.code == InvalidRequest.code
    assert "a time to live is at most 3153600000 seconds" in str(reply.fields)


def test_a_bounded_counter_takes_no_time_to_live_and_none_from_its_bucket(cluster: Cluster) -> None:
    for bucket in ("default", "sessions"):
        key = identity_of(bucket, "bcounter", "stock")
        reply = cluster.try_to_mutate("increment", 5, key=key, ttl_ms=TTL_MS)
        assert isinstance(reply, ErrorReply)
        assert reply.code == InvalidRequest.code
        assert "a bcounter does not expire" in str(reply.fields)
        cluster.mutate("increment", 5, key=key)
        cluster.mutate("increment", 1, key=key, ttl_ms=0)
        cluster.run(2 * TTL_S)
        assert shown(cluster.read(key)) == "bcounter(6)"
