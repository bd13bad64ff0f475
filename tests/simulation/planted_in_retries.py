"""Planted bugs in what is done when a client tries an operation again, and in sessions (`planted_bugs`)."""

from typing import Any

from crdtkv.causality.seen import Seen
from crdtkv.node.coordinate.mutation_flow import Mutation, MutationFlow
from crdtkv.node.replica.operations import Operations, Record

from .planting import replaced


def retry_done_without_asking() -> Any:
    """What a client tries again is carried out again."""
    return replaced(MutationFlow, "_find", MutationFlow._read)


def operations_not_kept() -> Any:
    """Nobody remembers which operations he has taken part in."""

    def note(self: Operations, record: Record) -> None:
        pass

    return replaced(Operations, "note", note)


def begun_after_its_time() -> Any:
    """A node begins an operation whose client has long gone on elsewhere."""
    make = MutationFlow._make

    def wrong(self: MutationFlow, mutation: Mutation) -> None:
        make(self, mutation._replace(request=mutation.request._replace(begin_by_ms=0)))

    return replaced(MutationFlow, "_make", wrong)


def session_that_forgets_its_writes() -> Any:
    """A session remembers what it has read only."""

    def written(self: Seen, *_: Any) -> None:
        pass

    return replaced(Seen, "written", written)
