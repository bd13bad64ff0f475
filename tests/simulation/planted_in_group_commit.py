"""Planted bugs in what leaves a node when (`planted_bugs`): in `GroupCommit`, which both hosts use."""

from contextlib import ExitStack
from typing import Any

from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.group_commit import GroupCommit

from .planting import Bug, replaced


def released_before_its_own_commit() -> Any:
    """What a step holds back leaves when the step ends."""

    def wrong(self: GroupCommit) -> list[Effects]:
        released = list(self._held)
        self._held.clear()
        return released

    return replaced(GroupCommit, "_released", wrong)


def sync_covers_what_was_committed_since() -> Any:
    """A sync that ends is taken to cover everything that is committed then."""
    ended = GroupCommit.sync_ended

    def wrong(self: GroupCommit, is_durable: bool) -> list[Effects]:
        self._covers = self._committed
        return ended(self, is_durable)

    return replaced(GroupCommit, "sync_ended", wrong)


def released_one_commit_early() -> Any:
    """The commit after the last one that a sync covers is taken for durable, too: off by one."""

    def wrong(self: GroupCommit) -> list[Effects]:
        released = []
        while self._held and self._held[0].after_commit <= self._durable + (self._durable > 0):
            released.append(self._held.popleft())
        return released

    return replaced(GroupCommit, "_released", wrong)


def sync_begun_beside_another() -> Any:
    """While one sync is under way a second one begins, and whichever ends first counts for both."""
    ended = GroupCommit.sync_ended

    def wrong(self: GroupCommit, is_durable: bool) -> list[Effects]:
        if self._covers is None:
            return []
        return ended(self, is_durable)

    def begun(self: GroupCommit) -> bool:
        if self._committed in (self._durable, self._covers):
            return False
        self._covers = self._committed
        return True

    with_both = ExitStack()
    with_both.enter_context(replaced(GroupCommit, "sync_ended", wrong))
    with_both.enter_context(replaced(GroupCommit, "begin_sync", begun))
    return with_both


def released_in_the_opposite_order() -> Any:
    """What shares a sync leaves last step first."""
    ended = GroupCommit.sync_ended
    return replaced(GroupCommit, "sync_ended", lambda self, is_durable: ended(self, is_durable)[::-1])


def released_after_a_failed_sync() -> Any:
    """A sync that failed is taken for one that ended."""
    ended = GroupCommit.sync_ended
    return replaced(GroupCommit, "sync_ended", lambda self, is_durable: ended(self, is_durable=True))


#: Bug: within how many seeds it must be found.
BUGS_OF_GROUP_COMMIT: dict[Bug, int] = {
    released_before_its_own_commit: 5,
    sync_covers_what_was_committed_since: 5,
    released_one_commit_early: 5,
    sync_begun_beside_another: 5,
    released_in_the_opposite_order: 5,
    released_after_a_failed_sync: 30,
}
