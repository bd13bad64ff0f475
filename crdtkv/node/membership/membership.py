"""`Membership`: connects gossip to a node, and decides which nodes are alive for requests.

A node is *alive* when its link is established and gossip does not report it as down. The link alone is not enough: a
process that was stopped, or a network that drops packets, keeps connections open. When gossip first reports a node as
down, requests in flight to it fail at once, as if its link had broken. A link that breaks is evidence for gossip. None
of this changes the ring.

Rows travel flat: `[node, generation, heartbeat, incarnation, four figures of load, suspecting node…]`.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from crdtkv.config.model import GossipConfig
from crdtkv.errors import ProtocolError
from crdtkv.ids import MAX_STARTS
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.membership.detector import DetectorSettings
from crdtkv.node.membership.gossip import Gossip, GossipPush, GossipReply, GossipSettings
from crdtkv.node.membership.member import NO_LOAD, SUSPICIONS_MAX, Load, Member
from crdtkv.wire.messages import MembersPush, MembersReply

#: The bounds of a row's numbers: generation, heartbeat, incarnation, and four figures of load.
_BELOW = (MAX_STARTS, MAX_STARTS, 2**64, *([2**48] * len(Load._fields)))
_NUMBERS = len(_BELOW)


class Membership:
    """The live nodes, as one node sees them.

    `load` returns this node's own figures, once per round. `incarnation_seen` is called with a node and its incarnation
    when that is new. `remembered` is called with the row that others have of this node: None, or a row of a later
    start, or a later heartbeat, than its own.
    """

    def __init__(
        self,
        kernel: Kernel,
        generation: int,
        incarnation: int,
        random: Random,
        config: GossipConfig,
        load: Callable[[], Load],
        incarnation_seen: Callable[[str, int], None],
        remembered: Callable[[Member | None], None],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._load = load
        self._incarnation_seen = incarnation_seen
        self._remembered = remembered
        self._incarnations: dict[str, int] = {}
        self._epoch = kernel.cluster.epoch
        self._linked: dict[str, None] = {}
        self._down: list[str] = []
        self._gossip = Gossip(
            kernel.cluster.node,
            generation,
            incarnation,
            self._nodes(),
            random,
            kernel.step.now.monotonic_s,
            GossipSettings(
                interval_s=config.interval_s,
                fanout=config.fanout,
                detector=DetectorSettings.for_interval(config.interval_s),
            ),
        )

    def next_timer(self) -> float:
        """Return when the next round is due."""
        return self._gossip.next_tick

    def run_due(self) -> None:
        """Begin a round, if it is time; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if self._epoch != self._cluster.epoch:
            self._epoch = self._cluster.epoch
            self._gossip.follow(self._nodes(), now_s)
            for peer in self._linked:  # a peer that receives a newer epoch reads the topology at once
                self._step.effects.send(peer, MembersPush(_flat(self._gossip.greeting().rows)))
        if now_s < self._gossip.next_tick:
            return
        for peer, push in self._gossip.tick(now_s, self._load()):
            if peer in self._linked:
                self._step.effects.send(peer, MembersPush(_flat(push.rows)))
        self._judge()

    def peer_up(self, node: str) -> None:
        """Handle a new link."""
        self._linked[node] = None
        self._gossip.linked(node, self._step.now.monotonic_s)
        self._judge()
        self._cluster.node_up(node)
        self._step.effects.send(node, MembersPush(_flat(self._gossip.greeting().rows)))

    def peer_down(self, node: str) -> None:
        """Handle a link that broke."""
        self._linked.pop(node, None)
        self._gossip.evidence(node, self._step.now.monotonic_s)
        self._cluster.node_down(node)
        self._calls.replica_lost(node)

    def pushed(self, node: str, message: MembersPush) -> None:
        """Merge another node's rows, and answer with the rows that it lacked.

        Raises:
            ProtocolError: the rows are malformed.
        """
        reply = self._gossip.receive(GossipPush(_parsed(message.rows)), self._step.now.monotonic_s)
        if reply is not None:
            self._step.effects.send(node, MembersReply(_flat(reply.rows)))
        self._pass_on_memory()
        self._judge()

    def replied(self, node: str, message: MembersReply) -> None:
        """Merge the rows of an answer to a push.

        Raises:
            ProtocolError: the rows are malformed.
        """
        self._gossip.receive(GossipReply(_parsed(message.rows)), self._step.now.monotonic_s)
        if not self._pass_on_memory():
            self._remembered(None)
        self._judge()

    def new_incarnation(self, incarnation: int) -> None:
        """Publish from now on that this node has a new incarnation."""
        self._gossip.new_incarnation(incarnation)

    def load_of(self, node: str) -> Load:
        """Return a node's last known load; `NO_LOAD` for a new node that gossip does not follow yet."""
        table = self._gossip.table
        return table[node].load if node in table else NO_LOAD

    def snapshot(self) -> dict[str, Any]:
        """Return this node's view of all nodes, for `status`."""
        snapshot: dict[str, Any] = {}
        for node in self._gossip.table.nodes:
            row = self._gossip.table[node]
            snapshot[node] = {
                "state": self._gossip.status(node).value,
                "generation": row.generation,
                "heartbeat": row.heartbeat,
                "suspected_by": list(row.suspicions),
                **row.load._asdict(),
            }
        return snapshot

    def _pass_on_memory(self) -> bool:
        remembered, self._gossip.remembered = self._gossip.remembered, None
        if remembered is not None:
            self._remembered(remembered)
        return remembered is not None

    def _nodes(self) -> list[str]:
        return [node.name for node in self._cluster.ring.topology.nodes]

    def _judge(self) -> None:
        """Act on nodes that have newly gone down, come back, or changed their incarnation."""
        for node in self._gossip.table.nodes:
            incarnation = self._gossip.table[node].incarnation
            if incarnation and node != self._cluster.node and self._incarnations.get(node) != incarnation:
                self._incarnations[node] = incarnation
                self._incarnation_seen(node, incarnation)
        down = self._gossip.down()
        if down == self._down:
            return
        before, self._down = self._down, down
        for node in down:
            if node not in before:
                self._step.stats.count("members_down")
                self._step.effects.notes.append(f"{node} is down")
                self._cluster.node_down(node)
                self._calls.replica_lost(node)
        for node in before:
            if node not in down:
                self._step.effects.notes.append(f"{node} is back")
                if node in self._linked:
                    self._cluster.node_up(node)


def _is_below(number: object, bound: int) -> bool:
    return type(number) is int and 0 <= number < bound


def _flat(rows: list[Member]) -> list[object]:
    return [[row.node, row.generation, row.heartbeat, row.incarnation, *row.load, *row.suspicions] for row in rows]


def _parsed(rows: list[object]) -> list[Member]:
    members: list[Member] = []
    for row in rows:
        if type(row) is not list or not _NUMBERS < len(row) <= 1 + _NUMBERS + SUSPICIONS_MAX:
            raise ProtocolError("a member is a node, seven numbers and who suspects it")
        node, numbers, suspicions = row[0], row[1 : 1 + _NUMBERS], row[1 + _NUMBERS :]
        if type(node) is not str or not all(map(_is_below, numbers, _BELOW)):
            raise ProtocolError("a member is a node, seven numbers and who suspects it")
        if not all(type(observer) is str for observer in suspicions):
            raise ProtocolError("suspecting nodes are names")
        generation, heartbeat, incarnation, *load = numbers
        members.append(Member(node, generation, heartbeat, incarnation, Load(*load), tuple(sorted(suspicions))))
    return members
