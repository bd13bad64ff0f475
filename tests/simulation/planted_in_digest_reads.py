"""Planted bugs of digest reads (`planted_bugs`)."""

from typing import Any

from crdtkv.crdt.entry import Entry
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.quorum_calls import replica_service
from crdtkv.node.quorum_calls.digest_reading import DigestReadCall, DigestReads
from crdtkv.node.quorum_calls.replica_service import ReplicaService
from crdtkv.wire.messages import DigestRead, DigestReply

from .planting import Bug, replaced


def digest_read_that_needs_one_answer_less() -> Any:
    """A digest read counts one replica more than has answered."""
    begin = DigestReads._begin

    def wrong(self: DigestReads, replicas: Any, required: int, call: DigestReadCall) -> None:
        begin(self, replicas, required - 1, call)

    return replaced(DigestReads, "_begin", wrong)


def replica_that_finds_no_difference() -> Any:
    """A replica answers that it holds all entries as the coordinator does."""
    return replaced(replica_service, "DigestReply", lambda number, _: DigestReply(number, []))


def digest_of_what_is_not_durable() -> Any:
    """A replica compares entries that could still be lost."""
    compare = ReplicaService.compare

    def wrong(self: ReplicaService, node: str, request: DigestRead) -> None:
        entry = LocalCopy.entry

        def durable(local: LocalCopy, key: Any) -> tuple[Entry | None, bool]:
            return entry(local, key)[0], True

        with replaced(LocalCopy, "entry", durable):
            compare(self, node, request)

    return replaced(ReplicaService, "compare", wrong)


def digest_read_that_shows_all() -> Any:
    """A coordinator shows its own entries, whatever the other replicas hold."""
    conclude = DigestReadCall._conclude

    def wrong(self: DigestReadCall) -> None:
        self._different.clear()
        conclude(self)

    return replaced(DigestReadCall, "_conclude", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_DIGEST_READS: dict[Bug, int] = {
    digest_read_that_needs_one_answer_less: 150,
    replica_that_finds_no_difference: 150,
    digest_of_what_is_not_durable: 150,
    digest_read_that_shows_all: 150,
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_DIGEST_READS: dict[Bug, int] = {digest_read_that_needs_one_answer_less: 57}
