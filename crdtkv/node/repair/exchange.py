"""`ExchangeCall`: one anti-entropy exchange with another replica, in flight.

First the roots are compared, then the leaves of trees that differ, then the digests of entries in leaves that differ;
then the entries are exchanged. Entries that the other node lacks are sent and must be acknowledged; entries that this
node lacks are merged. A partition counts as *compared* only when all of that has happened. Then this node holds
everything that the other held when the exchange began; learners and hinted handoff depend on that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from crdtkv.hashing import DIGEST_BYTES
from crdtkv.merkle.forest import LEAVES, MerkleForest
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.wire.messages import (
    LeafReply,
    LeafRequest,
    Message,
    ReplicaSuperseded,
    ReplicaWritten,
    RootsReply,
    RootsRequest,
)

LEAVES_AN_EXCHANGE = 64
EXCHANGE_TIMEOUT_S = 5.0


class ExchangeHost(Protocol):
    """The methods that an exchange needs of its node."""

    def rows_of_leaf(self, partition: int, leaf: int, after: bytes) -> tuple[list[list[object]], bytes | None]:
        """Return this node's digests of a leaf after a storage key, and the last complete key (None: complete)."""
        ...

    def take(self, storage_key: bytes, encoded: bytes, basis: object = None) -> bool:
        """Merge an entry from the other node, or the part that is new to a replica that has seen `basis`.

        Return False if the disk is too full, or this node has not seen `basis`.
        """
        ...

    def give(self, node: str, number: int, wish: object) -> int:
        """Send this node's entry of a wanted key, or the part the other lacks; return its bytes, 0 for no entry.

        Raises:
            ProtocolError: `wish` is malformed.
        """
        ...


@dataclass(slots=True)
class Findings:
    """The result of an exchange.

    In each of the `compared` partitions this node holds all that the other held when the exchange began.
    """

    peer: str
    asked: list[int] = field(default_factory=list)
    compared: set[int] = field(default_factory=set)
    differences: int = 0
    moved_bytes: int = 0

    @property
    def is_cut_short(self) -> bool:
        """Whether there was more to repair than one exchange can."""
        return self.differences > 0 and len(self.compared) < len(self.asked)


class ExchangeCall(Call):
    """One exchange in flight. `ended` is called once, with the result."""

    def __init__(
        self, kernel: Kernel, exchange: ExchangeHost, forest: MerkleForest, peer: str, ended: Callable[[Findings], None]
    ) -> None:
        self._step = kernel.step
        self._calls = kernel.calls
        self._exchange = exchange
        self._forest = forest
        self._ended = ended
        self._findings = Findings(peer)
        self._compared: set[int] = set()
        self._waiting = 0
        self._number = 0

    def start(self, partitions: list[int]) -> None:
        """Send the roots of these partitions."""
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, self._step.now.monotonic_s + EXCHANGE_TIMEOUT_S, "deadline")
        trees = [self._forest.tree(partition) for partition in partitions]
        self._findings.asked = partitions
        roots = b"".join(tree.root_bytes for tree in trees if tree is not None)
        self._send(RootsRequest(self._number, list(partitions), roots))

    def answered(self, replica: str, message: Message) -> None:
        """Continue with the answer; end the exchange after the last one."""
        self._waiting -= 1
        match message:
            case RootsReply(_, trees, left):
                self._look_into(trees, left)
            case LeafReply():
                self._mend(message)
            case ReplicaWritten() | ReplicaSuperseded():
                pass
        if self._waiting <= 0:
            self._findings.compared = self._compared
            self._end()

    def lost(self, replica: str) -> None:
        """End the exchange if the other node is lost; no partition counts as compared then."""
        if replica == self._findings.peer:
            self._end()

    def timer(self, purpose: str) -> None:
        """End the exchange at its deadline; no partition counts as compared then."""
        self._end()

    def _look_into(self, trees: list[object], left: list[object]) -> None:
        self._compared = set(self._findings.asked).difference(number for number in left if type(number) is int)
        leaves_asked = 0
        for item in trees:
            match item:
                case [int() as partition, bytes() as leaves] if len(leaves) == LEAVES * DIGEST_BYTES:
                    tree = self._forest.tree(partition)
                    for leaf in tree.differing(leaves) if tree is not None else ():
                        if leaves_asked == LEAVES_AN_EXCHANGE:
                            self._compared.discard(partition)
                            break
                        leaves_asked += 1
                        self._ask_leaf(partition, leaf, b"")

    def _ask_leaf(self, partition: int, leaf: int, after: bytes) -> None:
        digests, end = self._exchange.rows_of_leaf(partition, leaf, after)
        self._send(LeafRequest(self._number, partition, leaf, after, end, list(digests)))
        if end is not None:
            self._ask_leaf(partition, leaf, end)

    def _mend(self, reply: LeafReply) -> None:
        if not reply.is_whole:
            self._compared.discard(reply.partition)
        for item in reply.entries:
            match item:
                case [bytes() as storage_key, bytes() as entry, *basis] if len(basis) <= 1:
                    if self._exchange.take(storage_key, entry, *basis):
                        self._findings.differences += 1
                        self._findings.moved_bytes += len(entry)
                    else:
                        self._compared.discard(reply.partition)
        for wish in reply.wanted:
            given = self._exchange.give(self._findings.peer, self._number, wish)
            if given:
                self._waiting += 1
                self._findings.differences += 1
                self._findings.moved_bytes += given

    def _send(self, message: Message) -> None:
        self._waiting += 1
        self._step.effects.send(self._findings.peer, message)

    def _end(self) -> None:
        self._calls.end(self._number)
        self._ended(self._findings)
