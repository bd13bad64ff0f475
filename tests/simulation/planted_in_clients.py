"""Planted bugs in the client's core, which the simulated clients and watchers run (`planted_bugs`)."""

from typing import Any

from crdtkv.client.core.following import Following, Group
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.routing import Routing
from crdtkv.client.core.sessions import SessionRead
from crdtkv.client.core.writing import Write
from crdtkv.quorum.level import LOCAL_QUORUM, ConsistencyLevel

from .planting import Bug, replaced


def retry_under_a_new_operation_id() -> Any:
    """Every try of a write is an operation of its own."""
    send_now = Write._send_now

    def wrong(self: Write) -> None:
        if self._tried:
            self.operation_id = self.parts.random.randbytes(16)
        send_now(self)

    return replaced(Write, "_send_now", wrong)


def retry_that_names_no_node() -> Any:
    """A further try does not say which nodes may have carried out an earlier one."""
    unsettle = Write._unsettle

    def wrong(self: Write, timeout: Any) -> Any:
        unsettled = unsettle(self, timeout)
        self._tried = ()
        return unsettled

    return replaced(Write, "_unsettle", wrong)


def write_that_is_given_up_as_not_done() -> Any:
    """The caller of a write gets the outcome of its last try, whatever the tries before have done."""
    return replaced(Write, "verdict", lambda self, error: error)


def session_that_takes_any_answer() -> Any:
    """A session does not compare what it reads with what it has seen."""
    return replaced(Observations, "is_shown", lambda self, identity, context: True)


def session_that_forgets_when_it_moves() -> Any:
    """An answer of another data center than the preferred one is taken as it is."""
    part_ended = SessionRead.part_ended

    def wrong(self: SessionRead, part: Any, result: Any, error: Any) -> None:
        if error is None and part.view is not self.parts.routing.views[0]:
            self.end(result)
        else:
            part_ended(self, part, result, error)

    return replaced(SessionRead, "part_ended", wrong)


def session_that_reads_again_at_a_quorum_whatever_was_asked() -> Any:
    """A read at `LOCAL_ALL` that is asked again is asked at `LOCAL_QUORUM`.

    No run has shown it yet: `tests/unit/client/core/test_sessions.py` does. It is not in `BUGS_OF_CLIENTS`.
    """
    return replaced(SessionRead, "_repeated_level", lambda self: LOCAL_QUORUM)


def linearizable_call_that_fails_over() -> Any:
    """A call at `LINEARIZABLE` goes to another data center when its own is out of reach."""
    route = Routing.route

    def wrong(self: Routing, identity: bytes, level: ConsistencyLevel, skip: int = 0) -> Any:
        return route(self, identity, LOCAL_QUORUM, skip)

    return replaced(Routing, "route", wrong)


def watch_token_that_names_what_was_fetched() -> Any:
    """A watch continues after the pages that were fetched, read or not."""
    answered = Group.answered

    def wrong(self: Group, reply: Any) -> None:
        self.told = reply.cursor
        answered(self, reply)

    return replaced(Group, "answered", wrong)


def watch_that_leaves_partitions_behind() -> Any:
    """Of the partitions whose replica was lost, the first is followed nowhere any more."""
    lost = Following.lost

    def wrong(self: Following, group: Group) -> None:
        lost(self, group)
        self._unplaced &= self._unplaced - 1

    return replaced(Following, "lost", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_CLIENTS: dict[Bug, int] = {
    retry_under_a_new_operation_id: 50,
    retry_that_names_no_node: 150,
    write_that_is_given_up_as_not_done: 150,
    session_that_takes_any_answer: 50,
    session_that_forgets_when_it_moves: 150,
    linearizable_call_that_fails_over: 150,
    watch_token_that_names_what_was_fetched: 150,
    watch_that_leaves_partitions_behind: 150,
}
#: The class of runs in which they are searched.
CLASSES_OF_CLIENTS: dict[Bug, str] = {watch_token_that_names_what_was_fetched: "watchers"}
#: Where the tests begin: shortly before a run that shows the bug (`planted_bugs.FIRST_SEEDS`).
FIRST_SEEDS_OF_CLIENTS: dict[Bug, int] = {
    session_that_takes_any_answer: 17,
    session_that_forgets_when_it_moves: 35,
    linearizable_call_that_fails_over: 9,
    watch_token_that_names_what_was_fetched: 13,
    watch_that_leaves_partitions_behind: 11,
}
