"""What watchers are told: nothing that is not durable, by nobody who does not count, and in the end everything.

- Whoever answers a poll is a replica that counts of every key it tells of, by its own ring.
- What it tells is on its own disk for good when it leaves.
- When all is quiet, what a watcher was told last of each key is what the replica that it follows stores. Of a key that
  is stored no more it was told last that it is gone, or its tombstone, or what a tombstone had seen that was collected:
  who is told the whole state again does not hear of such a key.
"""

from typing import TYPE_CHECKING

from crdtkv.checking.violation import Violation
from crdtkv.ids import identity_of
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.actors.watcher import SimWatcher, rows_in
from crdtkv.sim.world.stored import InvariantViolated, descends, parse, violated
from crdtkv.storage import rows
from crdtkv.wire.messages import Message, WatchReply

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.world.host import SimNode

#: Virtual seconds within which a watcher has been told everything when all is quiet, and how often that is looked at.
SETTLED_WITHIN_S = 30.0
LOOK_EVERY_S = 0.5


class WatchMonitor:
    """Looks at all answers to polls, and at what watchers know in the end."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._has_watchers = cluster.plan.shape.watchers > 0

    def stepped(self, node: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at who answers, when it does."""
        if not self._has_watchers:
            return
        if effects.new_incarnation is not None or effects.topology is not None:
            return  # what came before that in the same step was answered by who counted then
        assert node.core is not None
        cluster = node.core.parts.kernel.cluster
        for messages in (*effects.at_once.values(), *effects.held.values()):
            for message in messages:
                if isinstance(message, WatchReply):
                    for identity, _ in rows_in(message):
                        name, homes = node.place.node, cluster.ring.preference_list(storage_key_of(identity))
                        if name not in homes or name in cluster.uncounted:
                            violated("watch", f"{name} tells of {identity!r}, and is no replica of it that counts")

    def sent(self, node: "SimNode", messages: list[Message]) -> None:
        """Look at what really leaves: it must be on the node's disk."""
        if not self._has_watchers:
            return
        for message in messages:
            if isinstance(message, WatchReply):
                for identity, entry in rows_in(message):
                    if entry is not None:
                        self._is_durable(node, identity, entry)

    def _is_durable(self, node: "SimNode", identity: bytes, entry: bytes) -> None:
        told = parse(entry)
        held = node.disk.durable(rows.data_row(storage_key_of(identity)))
        if held is not None and descends(parse(held), told):
            return
        if not self._cluster.monitors.collecting.is_gone(identity, told):
            violated("durability", f"{node.place.node} tells a watcher what is not durable: {identity!r}")

    def settle(self) -> None:
        """Let all watchers be told everything, and look at what they know."""
        scheduler, watchers = self._cluster.scheduler, self._cluster.watchers
        for watcher in watchers:
            watcher.settle()
        until_s = scheduler.now + SETTLED_WITHIN_S
        while not all(watcher.is_settled for watcher in watchers):
            if scheduler.now >= until_s:
                violated("watch", f"all is quiet, but after {SETTLED_WITHIN_S:g} s a watcher is still not told so")
            scheduler.run_until(scheduler.now + LOOK_EVERY_S)
        wrong = [
            Violation("watch", f"{watcher.name} {story}") for watcher in watchers for story in self._wrong_in(watcher)
        ]
        if wrong:
            raise InvariantViolated(wrong)

    def _wrong_in(self, watcher: SimWatcher) -> list[str]:
        """Tell of the keys whose last entry a watcher was not told."""
        partitions = self._cluster.plan.shape.partitions
        wrong: list[str] = []
        for type_tag, key in self._cluster.plan.keys:
            if type_tag not in watcher.types:
                continue
            identity = identity_of("default", type_tag, key)
            at = storage_key_of(identity)
            partition = partition_in(at, partitions)
            node = next((group.node for group in watcher.groups if group.mask >> partition & 1), None)
            if node is None:
                wrong.append(f"follows no replica of {type_tag}/{key}")
                continue
            stored = self._cluster.nodes[node].disk.visible(rows.data_row(at))
            if not self._is_newest(identity, watcher.told.get(identity), stored):
                told = "this was told" if identity in watcher.told else "nothing was told"
                wrong.append(f"does not know what {node} stores of {type_tag}/{key}: {told} last")
        return wrong

    def _is_newest(self, identity: bytes, told: bytes | None, stored: bytes | None) -> bool:
        if stored is None:
            is_gone = self._cluster.monitors.collecting.is_gone
            # Disks that forget may have lost the key altogether.
            return told is None or self._cluster.plan.is_forgetful or is_gone(identity, parse(told))
        if told is None:
            return False
        if parse(stored).expiries:
            return parse(told).seen == parse(stored).seen  # what expires is left out of what is told
        return told == stored
