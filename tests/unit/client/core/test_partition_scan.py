"""`PartitionScan`: the pages of one partition, without and with a session."""

from stage import Stage, entry_of

from crdtkv import LOCAL_QUORUM, ReadTimeout
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.seen import Seen
from crdtkv.causality.version_vector import VersionVector
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.scanning import PartitionScan
from crdtkv.crdt.register import Register
from crdtkv.ids import identity_of, identity_prefix
from crdtkv.ring.token import partition_of, storage_key_of, token_of
from crdtkv.wire.messages import EntriesReply, GetRequest, ScanReply, ScanRequest

ACTOR = "eu-1.00000000000000aa"
PREFIX = identity_prefix("default", "register")
#: The keys of one partition, in the order of their storage keys.
PARTITION = 3
KEYS = sorted(
    (
        identity
        for number in range(200)
        if partition_of(token_of(identity := identity_of("default", "register", f"k{number}")), 16) == PARTITION
    ),
    key=storage_key_of,
)


def entry(counter: int) -> bytes:
    return entry_of(Register(), CausalContext(VersionVector({ACTOR: counter})))


def scan(observations: Observations) -> PartitionScan:
    return PartitionScan(PARTITION, PREFIX, 2, LOCAL_QUORUM, 1.0, observations)


def test_a_page_begins_behind_the_one_before() -> None:
    stage, call = Stage(), scan(Observations())
    stage.begin(call)
    node, first = stage.take_any(ScanRequest)
    assert (first.after, first.limit) == (b"", 2)
    stage.answer(node, ScanReply(first.id, [[key, entry(1)] for key in KEYS[:2]], storage_key_of(KEYS[1])))
    node, second = stage.take_any(ScanRequest)
    assert second.after == storage_key_of(KEYS[1])
    stage.answer(node, ScanReply(second.id, [[KEYS[2], entry(1)]], None))
    assert [len(page.rows) for _, page in stage.pages] == [2, 1]
    assert stage.ended[call] is None


def test_a_page_that_does_not_come_in_time_ends_the_scan() -> None:
    stage, call = Stage(), scan(Observations())
    stage.begin(call)
    stage.advance(10.0)
    assert isinstance(stage.ended[call], ReadTimeout)


def test_a_key_that_is_older_in_a_page_than_in_the_session_is_read_separately() -> None:
    stage, seen = Stage(), Seen()
    for key in (KEYS[0], KEYS[1], KEYS[-1]):
        seen.written(key, Dot(ACTOR, 2), 0)
    call = scan(Observations(seen))
    stage.begin(call)
    node, request = stage.take_any(ScanRequest)
    stage.answer(node, ScanReply(request.id, [[KEYS[0], entry(1)], [KEYS[1], entry(2)]], storage_key_of(KEYS[1])))
    node, read = stage.take_any(GetRequest)
    assert read.identities == [KEYS[0]], "the page has all of the second key, and ends before the last one"
    stage.answer(node, EntriesReply(read.id, [entry(3)]))
    assert stage.pages[0][1].rows == [(KEYS[0], entry(3)), (KEYS[1], entry(2))]
    assert not seen.is_in(KEYS[0], CausalContext(VersionVector({ACTOR: 2}))), (
        "the session has read the keys of the page"
    )


def test_what_is_read_separately_does_not_replace_what_the_page_has() -> None:
    """From seed 680000465: the data center of the page died, and another one answered without what the page has."""
    stage, seen, other = Stage(), Seen(), "us-1.00000000000000bb"
    seen.written(KEYS[0], Dot(other, 1), 0)
    call = scan(Observations(seen))
    stage.begin(call)
    node, request = stage.take_any(ScanRequest)
    stage.answer(node, ScanReply(request.id, [[KEYS[0], entry(1)]], None))
    node, read = stage.take_any(GetRequest)
    elsewhere = entry_of(Register(), CausalContext(VersionVector({other: 1})))
    stage.answer(node, EntriesReply(read.id, [elsewhere]))
    both = entry_of(Register(), CausalContext(VersionVector({ACTOR: 1, other: 1})))
    assert stage.pages[0][1].rows == [(KEYS[0], both)]
