"""`WatchMonitor`: watchers receive durable entries only, from full members only, and in the end the newest ones.

- A node that answers a poll is a home replica of every key in the answer, by its own ring, and counts in quorums.
- The entries in an answer are durable on the node that sends it.
- At the end the last entry that a watcher has received of each key is the one that the replica stores which it follows.
  Of a key that is not stored, the last entry is a deletion, a tombstone, or one whose dots were collected: an initial
  state does not contain such a key.
"""

from collections.abc import Iterable

from crdtkv.checking.violation import Violation
from crdtkv.ids import identity_of
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event, Peer
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.expanded import rows_in
from crdtkv.sim.world.stored import InvariantViolated, descends, parse, violated
from crdtkv.sim.world.view import NodeView, WatcherView, WorldView
from crdtkv.storage import rows
from crdtkv.wire.messages import Message, WatchReply


class WatchMonitor(Monitor):
    """Checks all answers to polls, and what watchers have received in the end."""

    def __init__(self, world: WorldView, collecting: Collecting) -> None:
        super().__init__(world)
        self._collecting = collecting
        self._has_watchers = world.plan.shape.watchers > 0

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """Check that a node that answers is a home replica, and counts."""
        if not self._has_watchers:
            return
        if effects.new_incarnation is not None or effects.topology is not None:
            return  # earlier requests in the same step were answered under the former topology
        assert node.core is not None
        cluster = node.core.parts.kernel.cluster
        for messages in (*effects.at_once.values(), *effects.held.values()):
            for message in messages:
                if isinstance(message, WatchReply):
                    for identity, _ in rows_in(message):
                        name, homes = node.place.node, cluster.ring.preference_list(storage_key_of(identity))
                        if name not in homes or name in cluster.uncounted:
                            violated(
                                "watch", f"{name} answers a poll with {identity!r}, and is no replica of it that counts"
                            )

    def sent(self, node: NodeView, peer: Peer, messages: list[Message]) -> None:
        """Check that the entries in an answer are durable."""
        if not self._has_watchers:
            return
        for message in messages:
            if isinstance(message, WatchReply):
                for identity, entry in rows_in(message):
                    if entry is not None:
                        self._is_durable(node, identity, entry)

    def _is_durable(self, node: NodeView, identity: bytes, entry: bytes) -> None:
        sent = parse(entry)
        held = node.disk.durable(rows.data_row(storage_key_of(identity)))
        if held is not None and descends(parse(held), sent):
            return
        if not self._collecting.is_gone(identity, sent):
            violated("durability", f"{node.place.node} sends a watcher what is not durable: {identity!r}")

    def check(self, watchers: Iterable[WatcherView]) -> None:
        """Compare the entries that watchers have received with the stored ones, when nothing changes any more."""
        wrong = [
            Violation("watch", f"{watcher.name} {story}") for watcher in watchers for story in self._wrong_in(watcher)
        ]
        if wrong:
            raise InvariantViolated(wrong)

    def _wrong_in(self, watcher: WatcherView) -> list[str]:
        """Return the keys whose stored entry a watcher has not received."""
        partitions = self._world.plan.shape.partitions
        wrong: list[str] = []
        for type_tag, key in self._world.plan.keys:
            if type_tag not in watcher.types:
                continue
            identity = identity_of("default", type_tag, key)
            at = storage_key_of(identity)
            partition = partition_in(at, partitions)
            node = next((group.node for group in watcher.groups if group.mask >> partition & 1), None)
            if node is None:
                wrong.append(f"follows no replica of {type_tag}/{key}")
                continue
            stored = self._world.nodes[node].disk.visible(rows.data_row(at))
            if not self._is_newest(identity, watcher.received.get(identity), stored):
                last = "an older entry" if identity in watcher.received else "nothing"
                wrong.append(f"lacks what {node} stores of {type_tag}/{key}: it has received {last}")
        return wrong

    def _is_newest(self, identity: bytes, received: bytes | None, stored: bytes | None) -> bool:
        if stored is None:
            is_gone = self._collecting.is_gone
            # A disk that has lost data may have lost the key altogether.
            return received is None or self._loses_data or is_gone(identity, parse(received))
        if received is None:
            return False
        if parse(stored).expiries:
            return parse(received).seen == parse(stored).seen  # expired parts are left out of what is sent
        return received == stored
