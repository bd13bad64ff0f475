"""Planted bugs of applying entries of another data center (`planted_bugs`)."""

from typing import Any

from crdtkv.node.quorum_calls.applying import ApplyCall
from crdtkv.node.quorum_calls.replica_service import ReplicaService
from crdtkv.node.replica.replica import Replica
from crdtkv.wire.messages import APPLY_WIDTH, ApplyEntries

from .planting import Bug, replaced


def applied_when_one_node_has_it() -> Any:
    """A message is confirmed when this node alone has its entries."""
    start = ApplyCall.start

    def wrong(self: ApplyCall, entries: Any, homes: Any, required: int, deadline_s: float) -> None:
        start(self, entries, homes, 1, deadline_s)

    return replaced(ApplyCall, "start", wrong)


def replica_that_applies_the_first_entry_only() -> Any:
    """A replica acknowledges all entries of a message, and stores one."""
    apply = ReplicaService.apply_entries

    def wrong(self: ReplicaService, node: str, request: ApplyEntries) -> None:
        apply(self, node, request._replace(rows=request.rows[:APPLY_WIDTH]))

    return replaced(ReplicaService, "apply_entries", wrong)


def results_adopted_whatever_was_merged() -> Any:
    """Any result of a merge may be adopted: a tombstone, one that expires, or evidence that a node has lost data."""
    return replaced(Replica, "_merges_alike", lambda self, before, after, incoming: True)


#: Bug: within how many seeds it must be found.
BUGS_OF_APPLYING: dict[Bug, int] = {
    applied_when_one_node_has_it: 150,
    replica_that_applies_the_first_entry_only: 150,
    results_adopted_whatever_was_merged: 150,
}

FIRST_SEEDS_OF_APPLYING: dict[Bug, int] = {
    replica_that_applies_the_first_entry_only: 19,
    results_adopted_whatever_was_merged: 21,
}
