"""Operations that a client tries again: carried out once, if any replica that is asked has taken part in them."""

from typing import Any

import pytest
from several_nodes import CLIENT, Cluster, config, is_write

from crdtkv.crdt.entry import Entry
from crdtkv.errors import Overloaded, ProtocolError, Unavailable, WriteTimeout
from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import PeerClock, Received
from crdtkv.node.quorum_calls.finding_operations import PATIENCE_S
from crdtkv.node.replica.operations import KEPT_MINUTES, Record, parsed_record
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.wire.messages import (
    ErrorReply,
    FindOperation,
    LeafReply,
    Message,
    MutateReply,
    MutateRequest,
    OperationFound,
    ReplicaEntry,
)

HITS = identity_of("default", "counter", "hits")
OPERATION = b"0123456789abcdef"


class Retrying(Cluster):
    """Nodes, and one client that counts something, again and again under one operation id."""

    def __init__(self, **sections: Any) -> None:
        super().__init__(config(**sections))
        self.homes_of_hits = list(
            self.cores[self.names[0]].parts.kernel.cluster.ring.preference_list(storage_key_of(HITS))
        )

    def attempt(
        self,
        at: str,
        tried: tuple[str, ...] = (),
        level: str = "LOCAL_QUORUM",
        operation_id: bytes = OPERATION,
        begin_by_ms: int = 0,
        key: bytes = HITS,
        what: tuple[str, object] = ("increment", 1),
    ) -> Message | None:
        """Return the answer, None if there is none yet."""
        self._requests += 1
        request = MutateRequest(
            self._requests,
            key,
            what[0],
            [what[1]],
            None,
            0,
            level,
            2000,
            None,
            operation_id,
            list(tried) or None,
            begin_by_ms,
        )
        before = len(self.answers)
        self.handle(at, Received(CLIENT, 0, [request]))
        return self.answers.pop() if len(self.answers) > before else None

    def count(self, level: str = "LOCAL_QUORUM") -> int:
        entry = self.read(HITS, at=next(home for home in self.homes_of_hits if home in self.cores), level=level)
        assert entry is not None
        return entry.state.value  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def cluster() -> Retrying:
    return Retrying()


def written(message: Message | None) -> tuple[str, int]:
    assert isinstance(message, MutateReply), message
    return message.actor, message.counter


def refused(message: Message | None) -> str:
    assert isinstance(message, ErrorReply), message
    return message.code


def test_a_retry_through_another_coordinator_is_answered_with_the_dot_of_the_first_try(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    dot = written(cluster.attempt(first))
    assert written(cluster.attempt(second, tried=(first,))) == dot
    assert written(cluster.attempt(third, tried=(first,))) == dot
    assert cluster.count() == 1
    assert cluster.counted("operations_retried") == 2
    assert cluster.counted("operations_found") == 2


def test_a_retry_completes_what_only_one_replica_had_seen_before_the_coordinator_died(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    cluster.loses = lambda sender, receiver, message: is_write(message) and receiver == third
    cluster.attempt(first)
    cluster.stop(first)
    cluster.loses = lambda sender, receiver, message: False
    assert written(cluster.attempt(third, tried=(first,)))[0].startswith(first)
    assert cluster.stored(third, HITS) == cluster.stored(second, HITS)
    assert cluster.count() == 1
    cluster.start(first)
    cluster.run(3)
    assert cluster.count(level="LOCAL_ALL") == 1


def test_a_retry_of_what_nobody_has_seen_is_carried_out(cluster: Retrying) -> None:
    first, second, _ = cluster.homes_of_hits
    assert written(cluster.attempt(second, tried=(first,)))[0].startswith(second)
    assert cluster.count() == 1
    # Now it has been seen.
    assert written(cluster.attempt(first, tried=(first, second)))[0].startswith(second)
    assert cluster.count() == 1


def test_what_the_first_coordinator_alone_may_have_is_not_done_again_before_it_is_asked(cluster: Retrying) -> None:
    first, second, _ = cluster.homes_of_hits
    cluster.loses = lambda sender, receiver, message: is_write(message) and sender == first
    cluster.attempt(first)
    cluster.stop(first)
    refusal = cluster.attempt(second, tried=(first,))
    assert refused(refusal) == Unavailable.code
    cluster.loses = lambda sender, receiver, message: False
    cluster.start(first)
    assert written(cluster.attempt(second, tried=(first,)))[0].startswith(first)
    cluster.run(5)
    assert cluster.count(level="LOCAL_ALL") == 1


def test_who_handed_an_operation_on_names_those_who_may_have_carried_it_out(cluster: Retrying) -> None:
    first, second, _ = cluster.homes_of_hits
    fallback = next(name for name in cluster.names if name not in cluster.homes_of_hits)
    cluster.loses = lambda sender, receiver, message: is_write(message)
    assert cluster.attempt(fallback) is None  # handed on to the first home, which writes it and reaches nobody
    cluster.stop(first)
    refusal = cluster.attempt(second, tried=(fallback,))
    assert refused(refusal) == Unavailable.code
    # The fallback need not remember it: it had noted it before it handed it on.
    cluster.stop(fallback)
    cluster.start(fallback)
    refusal = cluster.attempt(fallback, tried=(fallback,))
    assert refused(refusal) == Unavailable.code
    cluster.loses = lambda sender, receiver, message: False
    cluster.start(first)
    assert written(cluster.attempt(second, tried=(fallback,)))[0].startswith(first)
    cluster.run(5)
    assert cluster.count(level="LOCAL_ALL") == 1


def test_a_node_that_handed_nothing_on_does_not_stand_in_the_way(cluster: Retrying) -> None:
    _, second, third = cluster.homes_of_hits
    fallback = next(name for name in cluster.names if name not in cluster.homes_of_hits)
    cluster.stop(third)
    assert written(cluster.attempt(second, tried=(fallback,)))[0].startswith(second)


def test_a_record_without_its_write_is_no_proof_that_the_write_is_there(cluster: Retrying) -> None:
    """A fallback replica gave away what it took, and whoever got it is down: nothing may be acknowledged."""
    first, second, third = cluster.homes_of_hits
    dot = written(cluster.attempt(first, level="LOCAL_ALL"))
    for name in (second, third):
        cluster.stores[name].delete(rows.data_row(storage_key_of(HITS)))
        cluster.stores[name].commit()
        cluster.stop(name)
    cluster.stop(first)
    cluster.start(second)
    cluster.start(third)
    for at, tried in ((second, third), (third, second)):
        refusal = cluster.attempt(at, tried=(tried,))
        assert refused(refusal) == Unavailable.code
    cluster.start(first)
    assert written(cluster.attempt(second, tried=(third,))) == dot


def test_who_only_knows_of_a_write_that_another_replica_holds_does_not_wait_for_those_that_are_silent(
    cluster: Retrying,
) -> None:
    first, second, third = cluster.homes_of_hits
    dot = written(cluster.attempt(first, level="LOCAL_ALL"))
    for name, row in ((third, rows.data_row(storage_key_of(HITS))), (second, rows.operations_row(0, 0))):
        cluster.stores[name].delete(row)
        cluster.stores[name].commit()
        cluster.stop(name)
        cluster.start(name)
    cluster.loses = lambda sender, receiver, message: (
        isinstance(message, LeafReply) or (isinstance(message, FindOperation) and receiver == first)
    )
    cluster.run(1)
    assert cluster.attempt(second, tried=(third,)) is None
    cluster.run(2 * PATIENCE_S)
    assert written(cluster.answers.pop()) == dot


def test_a_retry_waits_a_moment_for_the_silent_replica_that_may_know(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    cluster.loses = lambda sender, receiver, message: is_write(message) and receiver != third
    cluster.attempt(first, level="ONE")
    cluster.loses = lambda sender, receiver, message: isinstance(message, FindOperation) and receiver == first
    assert written(cluster.attempt(second, tried=(first,)))[0].startswith(first)
    assert cluster.count() == 1


def test_that_nobody_knows_is_believed_of_a_majority_when_the_others_stay_silent(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    cluster.loses = lambda sender, receiver, message: isinstance(message, FindOperation) and receiver == third
    assert cluster.attempt(second, tried=(first,)) is None
    cluster.run(2 * PATIENCE_S)
    assert written(cluster.answers.pop())[0].startswith(second)


def test_without_a_majority_a_retry_is_refused_at_the_weakest_level_too(cluster: Retrying) -> None:
    """Whoever is down may have carried it out: to do it again would be a guess."""
    first, second, third = cluster.homes_of_hits
    cluster.stop(first)
    cluster.stop(third)
    refusal = cluster.attempt(second, tried=(second,), level="ONE")
    assert refused(refusal) == Unavailable.code
    assert written(cluster.attempt(second, level="ONE"))[0].startswith(second)


def test_a_fallback_replica_has_seen_the_writes_of_its_hints(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    cluster.stop(second)
    cluster.stop(third)
    dot = written(cluster.attempt(first, level="SLOPPY_QUORUM"))
    cluster.stop(first)
    cluster.start(second)
    assert written(cluster.attempt(second, tried=(first,), level="SLOPPY_QUORUM")) == dot


def test_an_operation_is_not_begun_after_its_time(cluster: Retrying) -> None:
    first, *_ = cluster.homes_of_hits
    late = cluster.attempt(first, begin_by_ms=int(cluster.now_s * 1000) - 1)
    assert refused(late) == Overloaded.code
    assert cluster.stored(first, HITS) is None
    assert isinstance(cluster.attempt(first, begin_by_ms=int(cluster.now_s * 1000) + 1), MutateReply)


def test_a_time_to_begin_is_told_to_another_node_by_its_own_clock(cluster: Retrying) -> None:
    fallback = next(name for name in cluster.names if name not in cluster.homes_of_hits)
    for home in cluster.homes_of_hits:
        cluster.handle(fallback, PeerClock(home, 5.0))
    cluster.attempt(fallback, begin_by_ms=int(cluster.now_s * 1000) + 400)
    (forwarded,) = [message for _, _, message in cluster.sent if isinstance(message, MutateRequest)]
    assert forwarded.begin_by_ms == int(cluster.now_s * 1000) + 5400


def test_a_read_first_that_took_too_long_begins_nothing(cluster: Retrying) -> None:
    """The client has given this try up, and goes on elsewhere."""
    key = identity_of("default", "set", "tags")
    first, *_ = cluster.homes_of_hits
    late: list[tuple[str, Message]] = []

    def is_late(sender: str, _: str, message: Message) -> bool:
        if isinstance(message, ReplicaEntry):
            late.append((sender, message))
        return isinstance(message, ReplicaEntry)

    cluster.loses = is_late
    begin_by_ms = int(cluster.now_s * 1000) + 500
    assert cluster.attempt(first, key=key, what=("remove", b"\x01"), begin_by_ms=begin_by_ms) is None
    cluster.run(0.75)
    for sender, message in late:
        cluster.handle(first, Received(sender, cluster.topology.epoch, [message]))
    answer = cluster.answers.pop()
    assert refused(answer) == Overloaded.code
    assert cluster.stored(first, key) is None


def test_a_retry_supersedes_what_its_operation_did(cluster: Retrying) -> None:
    """A put that goes on through another coordinator leaves no older version beside it."""
    key = identity_of("default", "register", "cart")
    first, second, third = cluster.homes_of_hits
    cluster.mutate("put", b"old", at=third, key=key)
    cluster.loses = lambda sender, receiver, message: is_write(message) and receiver == third
    cluster.attempt(first, key=key, what=("put", b"new"), level="LOCAL_ALL")
    cluster.stop(first)
    cluster.loses = lambda sender, receiver, message: False
    assert isinstance(cluster.attempt(third, tried=(first,), key=key, what=("put", b"new")), MutateReply)
    for home in (second, third):
        stored = cluster.stored(home, key)
        assert stored is not None
        assert [version.value for version in Entry.from_bytes(stored).state.siblings()] == [b"new"]  # type: ignore[attr-defined]


def test_a_write_that_fails_again_is_of_unknown_fate_as_before(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    cluster.loses = lambda sender, receiver, message: is_write(message)
    assert cluster.attempt(first) is None
    cluster.run(2.5)
    assert cluster.answers.pop().code == WriteTimeout.code  # type: ignore[union-attr]
    assert cluster.attempt(second, tried=(first,)) is None
    cluster.run(2.5)
    assert cluster.answers.pop().code == WriteTimeout.code  # type: ignore[union-attr]
    cluster.loses = lambda sender, receiver, message: False
    assert written(cluster.attempt(third, tried=(first,)))[0].startswith(first)
    cluster.run(3)
    assert cluster.count(level="LOCAL_ALL") == 1


def test_a_malformed_operation_id_is_refused(cluster: Retrying) -> None:
    first, *_ = cluster.homes_of_hits
    for tried, operation_id in (((first,), b""), ((), b"short"), ((first,), bytes(17))):
        answer = cluster.attempt(first, tried=tried, operation_id=operation_id)
        assert refused(answer) == "invalid_request"


def test_a_malformed_record_is_an_error_of_who_sent_it(cluster: Retrying) -> None:
    first, second, _ = cluster.homes_of_hits
    good = Record(OPERATION, f"{first}.0000000000000001", 1, 1)
    assert parsed_record(good.to_bytes()) == good
    for record in (OPERATION, good._replace(actor="nobody").to_bytes(), good._replace(counter=0).to_bytes()):
        with pytest.raises(ProtocolError):
            parsed_record(record)
    junk = cluster.counted("junk_messages")
    asked: list[int] = []

    def asks(_: str, __: str, message: Message) -> bool:
        if isinstance(message, FindOperation):
            asked.append(message.id)
        return isinstance(message, FindOperation)

    cluster.loses = asks
    assert cluster.attempt(second, tried=(first,)) is None
    cluster.handle(second, Received(first, cluster.topology.epoch, [OperationFound(asked[0], OPERATION, None)]))
    assert cluster.counted("junk_messages") == junk + 1


def test_an_operation_is_remembered_for_longer_than_a_client_tries_and_then_forgotten(cluster: Retrying) -> None:
    first, second, _ = cluster.homes_of_hits
    dot = written(cluster.attempt(first))
    cluster.run(60)
    assert written(cluster.attempt(second, tried=(first,))) == dot
    cluster.run((KEPT_MINUTES + 2) * 60)
    everything = rows.operations_from(0), rows.operations_from(2**32 - 1)
    assert [cluster.stores[name].scan(*everything, 10) for name in cluster.homes_of_hits] == [[], [], []]


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_an_operation_is_remembered_when_a_wall_clock_jumps(cluster: Retrying, jump_s: int) -> None:
    first, second, _ = cluster.homes_of_hits
    dot = written(cluster.attempt(first))
    for name in cluster.names:
        cluster.wall_offset_ms[name] = jump_s * 1000
    assert written(cluster.attempt(second, tried=(first,))) == dot


def test_a_node_that_takes_no_operations_writes_nothing_for_them(cluster: Retrying) -> None:
    first, *_ = cluster.homes_of_hits
    cluster.attempt(first)
    cluster.run((KEPT_MINUTES + 4) * 60)
    before = [store.get(rows.OPERATIONS_MINUTE) for store in cluster.stores.values()]
    assert any(before)
    cluster.run(5 * 60)
    assert [store.get(rows.OPERATIONS_MINUTE) for store in cluster.stores.values()] == before


def test_an_operation_is_remembered_after_a_restart(cluster: Retrying) -> None:
    first, second, third = cluster.homes_of_hits
    dot = written(cluster.attempt(first))
    for name in (first, second, third):
        cluster.stop(name)
        cluster.start(name)
    cluster.run(3)
    assert written(cluster.attempt(third, tried=(first,))) == dot


def test_who_has_not_taken_part_says_so(cluster: Retrying) -> None:
    first, second, _ = cluster.homes_of_hits
    cluster.handle(second, Received(first, cluster.topology.epoch, [FindOperation(7, HITS, OPERATION)]))
    assert (second, first, OperationFound(7, b"", None)) in cluster.sent
