"""Planted bugs of the levels that count other data centers (`planted_bugs`)."""

from typing import Any

from crdtkv.node.coordinate.mutation_flow import _Both
from crdtkv.node.datacenters.remote_calls import RemoteRead, RemoteWrite
from crdtkv.node.datacenters.remote_service import RemoteService
from crdtkv.quorum.level import ConsistencyLevel

from .planting import Bug, replaced


def acknowledged_when_this_data_center_has_it() -> Any:
    """A write at a level of several data centers does not wait for the others."""

    def wrong(self: _Both) -> None:
        self._elsewhere = []
        self._is_here = True
        self._progress()

    return replaced(_Both, "here", wrong)


def acknowledged_when_the_others_have_it() -> Any:
    """A write at a level of several data centers does not wait for its own."""
    elsewhere = _Both.elsewhere

    def wrong(self: _Both, datacenters: list[str]) -> None:
        self._is_here = True
        elsewhere(self, datacenters)

    return replaced(_Both, "elsewhere", wrong)


def each_means_one() -> Any:
    """`EACH_QUORUM` and `ALL` wait for one other data center."""
    return replaced(
        ConsistencyLevel, "remote_quorum", lambda self, others: min(1, others) if self.spans_datacenters else 0
    )


def refusal_taken_for_a_confirmation() -> Any:
    """A node that could not store a write elsewhere counts."""
    return replaced(RemoteWrite, "take", lambda self, message: True)


def one_replica_elsewhere_is_enough() -> Any:
    """Another data center confirms what one of its replicas has."""
    return replaced(RemoteService, "_required", lambda self, is_for_all: 1)


def entries_from_elsewhere_not_merged() -> Any:
    """A read at a level of several data centers drops what the others hold."""
    take = RemoteRead.take

    def wrong(self: RemoteRead, message: Any) -> bool:
        taken = take(self, message)
        self.entries.clear()
        return taken

    return replaced(RemoteRead, "take", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_GEO_LEVELS: dict[Bug, int] = {
    acknowledged_when_this_data_center_has_it: 50,
    acknowledged_when_the_others_have_it: 150,
    each_means_one: 150,
    refusal_taken_for_a_confirmation: 150,
    one_replica_elsewhere_is_enough: 150,
    entries_from_elsewhere_not_merged: 150,
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_GEO_LEVELS: dict[Bug, int] = {
    acknowledged_when_the_others_have_it: 110,
    entries_from_elsewhere_not_merged: 100_053,
}
