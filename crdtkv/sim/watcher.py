"""A simulated watcher: a client that wants to know every key's newest entry, at one data center.

It behaves as the real one does (`client.following`): every partition is followed at one replica that counts, with one
poll at a time from one cursor. When an answer does not come, or the node refuses, the partitions begin elsewhere from
an empty cursor. Sometimes it is patient instead, and asks the same node again from where it was, whether that was
restarted meanwhile or not; sometimes it sleeps, and goes on with all its cursors, as with a token. It may be slow.

It keeps what it was told last of every key. At the end that must be what is stored (`watched`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import cast

from crdtkv.ids import identity_prefix
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.partition_set import each_in, mask_of, to_bits
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.scheduler import Scheduler
from crdtkv.sim.stored import violated
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import ErrorReply, WatchReply, WatchRequest

ANSWER_S = 1.5
AVOID_S = 1.0
RETRY_S = 0.25
#: Groups at one node; with one more, all of them begin anew as one.
GROUPS_MAX = 4
#: How often it stays with a node that does not answer, and how often it falls asleep when it loses one.
PATIENCE = 0.3
SLEEPINESS = 0.15


@dataclass(eq=False, slots=True)
class Group:
    """Partitions (a mask) that are followed at one node, from one cursor. `poll` is the one under way, 0 for none."""

    node: str
    mask: int
    cursor: bytes = b""
    poll: int = 0
    is_settled: bool = False


class SimWatcher:
    """One watch.

    `ring` tells the data center's ring; `is_up` whether a node runs; `send` hands it a frame, `hang_up` ends the link.
    """

    def __init__(
        self,
        name: str,
        types: list[str],
        partitions: int,
        scheduler: Scheduler,
        random: Random,
        ring: Callable[[], HashRing | None],
        is_up: Callable[[str], bool],
        send: Callable[[str, str, bytes], None],
        hang_up: Callable[[str, str], None],
        count: Callable[[str], None],
        knows_learners: bool,
    ) -> None:
        self.name = name
        self.types = types
        self._prefixes = [identity_prefix("default", type_tag) for type_tag in types]
        self._partitions = partitions
        self._scheduler = scheduler
        self._random = random
        self._ring = ring
        self._is_up = is_up
        self._send = send
        self._hang_up = hang_up
        self._count = count
        #: Rows in an answer, the longest wait for a change, and the longest time it takes to read an answer.
        self._limit = random.choice((1, 2, 5, 500))
        self._wait_s = random.choice((0.2, 1.0, 3.0))
        self._slowness_s = random.choice((0.05, 0.2, 1.0))
        #: Whether it goes by a document from before there were learners: those refuse it.
        self._knows_learners = knows_learners
        self.groups: list[Group] = []
        #: By identity: what was told last.
        self.told: dict[bytes, bytes | None] = {}
        self._unplaced = (1 << partitions) - 1
        self._avoided: dict[str, float] = {}
        self._polls: dict[int, Group] = {}
        self._last_id = 0
        self._is_placing = False
        self._is_asleep = False
        #: The first poll since all is quiet, if it is.
        self._quiet_since: int | None = None

    def start(self, within_s: float) -> None:
        """Begin to follow everything, sooner or later."""
        self._is_placing = True
        self._scheduler.after(self._random.uniform(0, within_s), self._place)

    def settle(self) -> None:
        """Hurry now, and note when a node has told all it had: nothing changes any more."""
        self._quiet_since = self._last_id + 1

    @property
    def is_settled(self) -> bool:
        """Whether every partition is followed at a node that has told everything since `settle`."""
        return not self._unplaced and all(group.is_settled for group in self.groups)

    @property
    def _is_hurrying(self) -> bool:
        return self._quiet_since is not None

    def link_lost(self, node: str) -> None:
        """Learn that a node's process has ended."""
        for number, group in list(self._polls.items()):
            if group.node == node and self._polls.pop(number, None) is not None:
                self._lost(group)

    def receive(self, sender: str, payload: bytes) -> None:
        """Take a node's answers."""
        for message in decode_frame(payload).messages:
            if not isinstance(message, WatchReply | ErrorReply):
                continue
            group = self._polls.pop(message.id, None)
            if group is None:
                continue  # given up, or answered twice
            if isinstance(message, WatchReply):
                self._take(group, message)
            elif message.code == "overloaded":
                group.poll = 0
                self._later(RETRY_S, group)
            elif message.code == "unavailable":
                self._lost(group)
            else:
                violated("watch", f"{sender} refuses {self.name}: {message}")

    def _take(self, group: Group, reply: WatchReply) -> None:
        for identity, entry in rows_in(reply):
            if not identity.startswith(tuple(self._prefixes)):
                violated("watch", f"{group.node} tells {self.name} of {identity!r}, which it does not watch")
            if not group.mask >> partition_in(storage_key_of(identity), self._partitions) & 1:
                violated("watch", f"{group.node} tells {self.name} of {identity!r}, which is of no partition asked for")
            self.told[identity] = entry
        group.cursor = reply.cursor
        # Asked since all is quiet, an answer that comes to the last change says that everything was told.
        is_at_end = reply.position is not None and reply.position >= reply.head
        group.is_settled = is_at_end and self._quiet_since is not None and group.poll >= self._quiet_since
        group.poll = 0
        if not group.is_settled:
            slowness_s = 0.0 if self._is_hurrying else self._slowness_s
            self._later(self._random.uniform(0.01, 0.01 + slowness_s), group)

    def _later(self, delay_s: float, group: Group) -> None:
        self._scheduler.after(delay_s, lambda: self._poll(group))

    def _poll(self, group: Group) -> None:
        if self._is_asleep or group.poll or group not in self.groups:
            return
        wait_s = self._random.choice((0.0, self._wait_s, self._wait_s))
        if self._is_hurrying:
            wait_s = 0.0
        self._last_id += 1
        number = group.poll = self._last_id
        self._polls[number] = group
        bits = to_bits(group.mask, self._partitions)
        prefixes: list[object] = [*self._prefixes]
        request = WatchRequest(number, prefixes, bits, group.cursor, self._limit, int(wait_s * 1000))

        def give_up() -> None:
            if self._polls.pop(number, None) is not None:
                self._lost(group)

        self._scheduler.after(wait_s + ANSWER_S, give_up)
        self._send(self.name, group.node, encode_frame(1, [request]))

    def _lost(self, group: Group) -> None:
        """Stay with a node that did not answer, or fall asleep, or go elsewhere."""
        group.poll = 0
        if group not in self.groups:
            return
        if self._is_hurrying:
            self._leave(group)
        elif self._random.random() < PATIENCE:
            self._count("watch_cursors_kept")
            self._later(self._random.uniform(RETRY_S, 4 * RETRY_S), group)
        elif self._random.random() < SLEEPINESS:
            self._sleep()
        else:
            self._leave(group)

    def _leave(self, group: Group) -> None:
        self._count("watches_moved")
        self.groups.remove(group)
        self._unplaced |= group.mask
        self._avoided[group.node] = self._scheduler.now + AVOID_S
        self._place_later()

    def _sleep(self) -> None:
        """End the watch, and go on with its token after a while."""
        self._count("watch_cursors_kept")
        self._is_asleep = True
        self._polls = {}
        for group in self.groups:
            group.poll = 0
        for node in dict.fromkeys(group.node for group in self.groups):
            self._hang_up(self.name, node)

        def wake() -> None:
            self._is_asleep = False
            for group in list(self.groups):
                self._poll(group)
            self._place()

        self._scheduler.after(self._random.uniform(0.2, 3.0), wake)

    def _place_later(self) -> None:
        if not self._is_placing:
            self._is_placing = True
            self._scheduler.after(RETRY_S, self._place)

    def _place(self) -> None:
        """Let what is followed nowhere begin at replicas that count and run."""
        self._is_placing = False
        ring = self._ring()
        if self._is_asleep:
            return
        if ring is not None:
            now = self._scheduler.now
            names = sorted(node.name for node in ring.topology.nodes)
            self._random.shuffle(names)
            linked = [
                name
                for name in names
                if self._is_up(name) and self._avoided.get(name, 0.0) <= now
                if not (self._knows_learners and name in ring.learners)
            ]
            chosen: dict[str, list[int]] = {}
            for partition in each_in(self._unplaced):
                replicas = ring.replicas_of(partition)
                name = next((name for name in linked if name in replicas), None)
                if name is not None:
                    chosen.setdefault(name, []).append(partition)
            for name, partitions in chosen.items():
                self._begin(name, mask_of(partitions))
        if self._unplaced:
            self._place_later()

    def _begin(self, node: str, mask: int) -> None:
        self._unplaced &= ~mask
        others = [group for group in self.groups if group.node == node]
        if len(others) >= GROUPS_MAX:
            for group in others:
                self._polls.pop(group.poll, None)
                self.groups.remove(group)
                mask |= group.mask
        group = Group(node, mask)
        self.groups.append(group)
        self._poll(group)


def rows_in(reply: WatchReply) -> list[tuple[bytes, bytes | None]]:
    """Return the identities and entries that an answer tells."""
    return cast("list[tuple[bytes, bytes | None]]", reply.rows)
