"""`GroupCommit`: decides which held effects may leave, and when the store has to be synced.

The durability rule: the held effects of a step leave when its own commit, and every earlier one, is fsynced; in the
order of the steps; and never after the disk has failed. There is one sync at a time. It covers the steps that were
committed when it began, no later ones; those share the next sync.

`GroupCommit` does not sync, wait or send: a host reports events to it and carries out the effects it returns. Both
hosts use it, so the rule that the simulator checks is the rule that the server follows. It has no bound of its own: the
amount of held effects is bounded by the requests that the core admits (`Admission`, `Effects.weights`).

DeWitt et al., Implementation techniques for main memory database systems, 1984, call such steps a commit group.
"""

from collections import deque

from crdtkv.node.kernel.effects import Effects


class GroupCommit:
    """The held effects of the steps of one `NodeCore`, from its start to its end."""

    def __init__(self) -> None:
        self._held: deque[Effects] = deque()
        #: The last commit so far, the last durable commit, and the last commit that the sync in progress covers.
        self._committed = 0
        self._durable = 0
        self._covers: int | None = None
        self._has_failed = False

    @property
    def durable(self) -> int:
        """The number of the last durable commit, 0 if there is none."""
        return self._durable

    @property
    def is_syncing(self) -> bool:
        """Whether a sync is in progress."""
        return self._covers is not None

    def stepped(self, effects: Effects) -> list[Effects]:
        """Add the effects of a step that has committed; return those whose held part may leave now, in order."""
        if self._has_failed:
            return []
        self._committed = max(self._committed, effects.after_commit)
        self._held.append(effects)
        return self._released()

    def begin_sync(self) -> bool:
        """Return whether the host must begin a sync now; if so, the sync is in progress until `sync_ended`."""
        if self._covers is not None or self._has_failed or self._committed == self._durable:
            return False
        self._covers = self._committed
        return True

    def sync_ended(self, is_durable: bool) -> list[Effects]:
        """Note that the sync in progress has ended; return the effects whose held part may leave now, in order.

        If the sync failed (not `is_durable`), or `fail` was called during it, no effect may leave, now or later.
        """
        assert self._covers is not None, "no sync is in progress"
        covers, self._covers = self._covers, None
        if not is_durable:
            self.fail()
        if self._has_failed:
            return []
        self._durable = covers
        return self._released()

    def fail(self) -> None:
        """Note that the disk failed: no held effect may leave any more, even if the sync in progress covers it."""
        self._has_failed = True
        self._held.clear()

    def _released(self) -> list[Effects]:
        released = []
        while self._held and self._held[0].after_commit <= self._durable:
            released.append(self._held.popleft())
        return released
