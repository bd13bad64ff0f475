"""`ExchangeCall`: one anti-entropy exchange with another node, in flight.

First the roots are compared, then the leaves of trees that differ, then the digests of entries in leaves that differ;
then the entries are exchanged. Entries that the other node lacks are sent and must be acknowledged; entries that this
node lacks are merged. A partition counts as *compared* only when all of that has happened. Then this node holds
everything that the other held when the exchange began, and the other one all that this node held; learners, hinted
handoff and data centers that lack entries depend on that.

A `Channel` carries the messages, and says how entries of the other node are stored: between replicas of a data center
here (`anti_entropy`), between data centers at a majority of the home replicas (`geo.anti_entropy`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from crdtkv.errors import ProtocolError
from crdtkv.hashing import DIGEST_BYTES
from crdtkv.merkle.forest import LEAVES
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.repair.tree_comparison import REPLY_BYTES, TreeComparison
from crdtkv.wire.messages import (
    EntriesTaken,
    GiveEntries,
    LeafReply,
    LeafRequest,
    Message,
    RootsReply,
    RootsRequest,
)

LEAF_COST = 2
#: Above this number all leaves of a tree between the first and the last that differ are compared, in few messages.
MANY_LEAVES = LEAVES // 4
#: An exchange ends when the other node has been silent for so long.
SILENCE_S = 5.0


class Bounds(NamedTuple):
    """The bounds of one exchange: trees with differences, entries compared and their bytes, and the largest entry.

    Each leaf counts as `LEAF_COST` entries, because the other node may hold entries there that this one lacks.
    """

    trees: int
    entries: int
    size_bytes: int
    entry_bytes: int


class Taken(NamedTuple):
    """The result of storing entries of the other node.

    `is_whole` is False if one was not stored. `overdue` are those so old that they cannot be on their way anyway.
    """

    entries: int
    size_bytes: int
    is_whole: bool
    overdue: int = 0


class Channel(Protocol):
    """What an exchange needs of its scheduler."""

    @property
    def bounds(self) -> Bounds:
        """The bounds of an exchange, and of the answers to another node's."""
        ...

    def send(self, node: str, message: Message, is_durable: bool = True) -> None:
        """Send a message; if its content is not durable yet, when all that was written so far is."""
        ...

    def take(self, partition: int, items: list[object], then: Callable[[Taken], None]) -> None:
        """Store entries of the other node (`Item.to_wire`), and call `then`.

        Raises:
            CrdtkvError: one of them is no entry of its key, or of another partition.
        """
        ...


def answer(channel: Channel, comparison: TreeComparison, node: str, request: Message) -> None:
    """Answer a request of another node's exchange: with what differs, or when entries that it gives are stored.

    Raises:
        CrdtkvError: the request is malformed, or no request of an exchange.
    """
    match request:
        case RootsRequest():
            channel.send(node, comparison.roots_reply(request, channel.bounds.trees))
        case LeafRequest():
            # An entry that differs may have been written in this very step.
            channel.send(node, comparison.leaf_reply(request, channel.bounds.entry_bytes), comparison.is_durable)
        case GiveEntries(number, partition, entries):

            def taken(taken: Taken) -> None:
                channel.send(node, EntriesTaken(number, partition, taken.is_whole), comparison.is_durable)

            channel.take(partition, entries, taken)
        case _:
            raise ProtocolError(f"a {type(request).__name__} is no request of an exchange")


@dataclass(slots=True)
class Findings:
    """The result of an exchange.

    In each of the `compared` partitions both nodes hold all that the other held when the exchange began. Of those that
    are `unheld` the other node is no replica.
    """

    peer: str
    asked: list[int] = field(default_factory=list)
    compared: set[int] = field(default_factory=set)
    unheld: set[int] = field(default_factory=set)
    differences: int = 0
    overdue: int = 0
    moved_bytes: int = 0
    #: Whether an entry was stored, here or there.
    has_repaired: bool = False

    @property
    def is_cut_short(self) -> bool:
        """Whether there was more to repair than one exchange can."""
        return self.differences > 0 and len(self.compared) + len(self.unheld) < len(self.asked)


class ExchangeCall(Call):
    """One exchange in flight. `ended` is called once, with the result."""

    def __init__(
        self,
        kernel: Kernel,
        comparison: TreeComparison,
        channel: Channel,
        peer: str,
        ended: Callable[[Findings], None],
    ) -> None:
        self._step = kernel.step
        self._calls = kernel.calls
        self._comparison = comparison
        self._channel = channel
        self._bounds = channel.bounds
        self._entries_left = self._bounds.entries
        self._bytes_left = self._bounds.size_bytes
        self._ended = ended
        self._findings = Findings(peer)
        self._compared: set[int] = set()
        self._waiting = 0
        self._has_ended = False
        self._heard_at = kernel.step.now.monotonic_s
        self.number = 0

    def start(self, partitions: list[int]) -> None:
        """Send the roots of these partitions."""
        self.number = self._calls.add(self)
        self._set_timer()
        trees = [self._comparison.forest.tree(partition) for partition in partitions]
        self._findings.asked = partitions
        roots = b"".join(tree.root_bytes for tree in trees if tree is not None)
        self._send(RootsRequest(self.number, list(partitions), roots))

    def answered(self, replica: str, message: Message) -> None:
        """Continue with the answer; end the exchange after the last one."""
        if replica != self._findings.peer or self._has_ended:
            return
        self._heard_at = self._step.now.monotonic_s
        match message:
            case RootsReply():
                self._look_into(message)
            case LeafReply():
                self._mend(message)
            case EntriesTaken():
                if message.is_whole:
                    self._findings.has_repaired = True
                else:
                    self._compared.discard(message.partition)
            case _:
                return
        self._done()

    def lost(self, replica: str) -> None:
        """End the exchange if the other node is lost; no partition counts as compared then."""
        if replica == self._findings.peer:
            self._end()

    def timer(self, purpose: str) -> None:
        """End the exchange if the other node is silent; no partition counts as compared then."""
        if self._step.now.monotonic_s - self._heard_at >= SILENCE_S:
            self._end()
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        self._calls.set_timer(self.number, self._heard_at + SILENCE_S, "silence")

    def _look_into(self, reply: RootsReply) -> None:
        asked = self._findings.asked
        self._findings.unheld = set(asked).intersection(number for number in reply.unheld if type(number) is int)
        self._compared = set(asked).difference(
            self._findings.unheld, (number for number in reply.left if type(number) is int)
        )
        for number, item in enumerate(reply.trees):
            match item:
                case [int() as partition, bytes() as leaves] if len(leaves) == LEAVES * DIGEST_BYTES:
                    tree = self._comparison.forest.tree(partition)
                    if tree is None or number >= self._bounds.trees:
                        self._compared.discard(partition)
                        continue
                    for differing in _ranges(tree.differing(leaves)):
                        self._ask_for(partition, differing)
                case _:
                    self._compared.clear()
                    raise ProtocolError("a tree is [partition, its leaves]")

    def _ask_for(self, partition: int, leaves: range) -> None:
        """Send the digests of a range of leaves, within the bounds of the exchange."""
        after: bytes | None = b""
        self._entries_left -= LEAF_COST * len(leaves)
        while after is not None:
            if self._entries_left <= 0 or self._bytes_left <= 0:
                self._compared.discard(partition)
                return
            digests, end, size = self._comparison.digests(partition, leaves, after)
            self._entries_left -= len(digests)
            self._bytes_left -= size
            self._send(LeafRequest(self.number, partition, leaves[0], leaves[-1], after, end, list(digests)))
            after = end

    def _mend(self, reply: LeafReply) -> None:
        partition = reply.partition
        if not reply.is_whole:
            self._compared.discard(partition)
        if reply.entries:
            self._waiting += 1
            self._channel.take(partition, reply.entries, lambda taken: self._taken(partition, taken))
        self._give(partition, reply.wanted)

    def _taken(self, partition: int, taken: Taken) -> None:
        """Count what was stored here; note that this may come after the end of the exchange."""
        if self._has_ended:
            return
        self._heard_at = self._step.now.monotonic_s
        self._findings.differences += taken.entries
        self._findings.has_repaired = self._findings.has_repaired or taken.entries > 0
        self._findings.overdue += taken.overdue
        self._findings.moved_bytes += taken.size_bytes
        if not taken.is_whole:
            self._compared.discard(partition)
        self._done()

    def _give(self, partition: int, wishes: list[object]) -> None:
        """Send the wanted entries, in messages of about `REPLY_BYTES`."""
        entries: list[object] = []
        size = 0
        for wish in wishes:
            item = self._comparison.wished(wish)
            if item is None:
                continue
            if len(item.entry) > self._bounds.entry_bytes:
                self._compared.discard(partition)
                continue
            if entries and size + len(item.entry) > REPLY_BYTES:
                self._send(GiveEntries(self.number, partition, entries), self._comparison.is_durable)
                entries, size = [], 0
            entries.append(item.to_wire())
            size += len(item.entry)
            self._findings.differences += 1
            self._findings.moved_bytes += len(item.entry)
        if entries:
            self._send(GiveEntries(self.number, partition, entries), self._comparison.is_durable)

    def _send(self, message: Message, is_durable: bool = True) -> None:
        self._waiting += 1
        self._channel.send(self._findings.peer, message, is_durable)

    def _done(self) -> None:
        """Note that one answer, or one commit, has come; end after the last."""
        self._waiting -= 1
        if self._waiting <= 0:
            self._findings.compared = self._compared
            self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._calls.end(self.number)
            self._ended(self._findings)


def _ranges(leaves: list[int]) -> list[range]:
    """Return the numbers of leaves, ascending, as ranges without gaps; as one range if they are many."""
    if len(leaves) > MANY_LEAVES:
        return [range(leaves[0], leaves[-1] + 1)]
    found: list[range] = []
    for leaf in leaves:
        if found and found[-1].stop == leaf:
            found[-1] = range(found[-1].start, leaf + 1)
        else:
            found.append(range(leaf, leaf + 1))
    return found
