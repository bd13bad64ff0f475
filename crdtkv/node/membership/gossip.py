"""`Gossip`: a node's part in spreading the member table, and who counts as down.

Every `interval_s` a node counts its heartbeat up and pushes the rows that changed last to `fanout` peers; each merges
them and answers with what the push lacked. Peers are taken in turn from a shuffled list of all, so that nobody waits
long for a visit by bad luck (SWIM, section 4.3). News reach everybody in O(log n) rounds.

Whole rows travel, without a digest first. A digest pays where little has changed, but every heartbeat grows every
round: asking first would save a quarter of the bytes in a ring of a thousand nodes, a fifth in one of ten, and cost a
third message and half a round trip. A message holds at most `rows_max` rows, the news first: in a ring larger than
that, a new heartbeat overtakes older ones, which are then never sent, and the wait must grow with the ring.

A node is *suspected* while its heartbeat stands still as seen from here, and *down* when another observer says the
same of the same heartbeat. One observer suffices where there is nobody to ask because it suspects all others as well:
in a ring of two, or as the last one left. Someone who is down is knocked at once a round, so that two halves of a ring
find each other again after a partition.

Pure: the host calls `tick` when `next_tick` is due, hands over messages, tells of links, and sends what is returned.
Messages may be lost, doubled and reordered. Who is in the ring is not gossiped but agreed: see `follow`.

Source: van Renesse, Minsky, Hayden, "A Gossip-Style Failure Detection Service" (1998); Das, Gupta, Motivala, "SWIM"
(2002); DeCandia et al., "Dynamo" (2007), section 4.8.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import NamedTuple

from crdtkv.node.membership.detector import DetectorSettings, FailureDetector
from crdtkv.node.membership.member import NO_LOAD, Load, Member
from crdtkv.node.membership.table import MemberTable


class GossipPush(NamedTuple):
    """What changed last at the sender, as far as it fits. Answered by `GossipReply`."""

    rows: list[Member]


class GossipReply(NamedTuple):
    """What the push lacked."""

    rows: list[Member]


class Status(Enum):
    """What this node thinks of another."""

    ALIVE = "alive"
    SUSPECTED = "suspected"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """How often a node speaks, to how many, and how much it says."""

    interval_s: float = 0.5
    fanout: int = 2
    rows_max: int = 1024
    detector: DetectorSettings = field(default_factory=DetectorSettings)


class Gossip:
    """One node's view of its data center. Times are monotonic seconds.

    `generation` should grow with every start of the node. A node that hears of a later start of its own has lost
    count, and begins a generation above it.
    """

    def __init__(
        self,
        node: str,
        generation: int,
        incarnation: int,
        nodes: Iterable[str],
        random: Random,
        now: float,
        settings: GossipSettings | None = None,
    ) -> None:
        self.node = node
        self.settings = settings or GossipSettings()
        self.table = MemberTable({*nodes, node})
        self.next_tick = now
        self._random = random
        self._own = Member(node, generation, 0, incarnation)
        #: What others remembered of this node from later than it does, if they did.
        self.remembered: Member | None = None
        self._peers = self._others()
        self._to_visit: list[str] = []
        self._detector = FailureDetector(self.settings.detector, self._peers, now)

    @property
    def generation(self) -> int:
        """The generation in use."""
        return self._own.generation

    @property
    def suspect_after_s(self) -> float:
        """How long a heartbeat may stand still in this ring."""
        return self._detector.suspect_after_s

    def follow(self, nodes: Iterable[str], now: float) -> None:
        """Take the nodes of a new ring; who is new is alive until the silence lasts."""
        self.table.follow({*nodes, self.node})
        self._peers = self._others()
        self._to_visit.clear()
        self._detector.follow(self._peers, now)

    def tick(self, now: float, load: Load = NO_LOAD) -> list[tuple[str, GossipPush]]:
        """Begin a round: count the heartbeat up, doubt who is silent, and return what to send to whom."""
        self._detector.look(now)
        self.next_tick = now + self.settings.interval_s
        self._own = self._own._replace(heartbeat=self._own.heartbeat + 1, load=load)
        self.table.merge([self._own])
        self._doubt_the_silent(now)
        push = GossipPush(self.table.newest(self.settings.rows_max))
        return [(peer, push) for peer in self._choose_peers()]

    def receive(self, message: GossipPush | GossipReply, now: float) -> GossipReply | None:
        """Take a message in; return the answer, if it wants one."""
        self._detector.look(now)
        rows = message.rows[: self.settings.rows_max]
        merged = self.table.merge(rows)
        if self.table[self.node].version > self._own.version:
            self.remembered = self.table[self.node]
            self._outlive(self.remembered.generation)
        self._detector.grew((node for node in merged.grown if node != self.node), now)
        self._doubt_the_silent(now)
        return self._reply(rows, merged.behind) if isinstance(message, GossipPush) else None

    def evidence(self, node: str, now: float) -> None:
        """Learn that a link to a node was refused or reset, which shortens the wait until it is suspected."""
        self._detector.look(now)
        self._detector.evidence(node, now)

    def linked(self, node: str, now: float) -> None:
        """Learn that a node has greeted on a new link, which withdraws such evidence, and ends a doubt."""
        self._detector.look(now)
        self._detector.linked(node, now)

    def new_incarnation(self, incarnation: int) -> None:
        """Tell a new incarnation of this node from the next round on."""
        self._own = self._own._replace(incarnation=incarnation)

    def status(self, node: str) -> Status:
        """Return what this node thinks of another, or of itself."""
        if not self._detector.doubts(node):
            return Status.ALIVE
        is_confirmed = any(observer != self.node for observer in self.table[node].suspicions)
        return Status.DOWN if is_confirmed or self._detector.doubts_all() else Status.SUSPECTED

    def greeting(self) -> GossipPush:
        """Return what to say to a node that has just been met."""
        self.table.merge([self._own])
        return GossipPush(self.table.newest(self.settings.rows_max))

    def suspected(self) -> list[str]:
        """Return who is suspected or down, sorted."""
        return sorted(self._detector.doubted)

    def down(self) -> list[str]:
        """Return who is down, sorted."""
        return [node for node in self.suspected() if self.status(node) is Status.DOWN]

    def _others(self) -> list[str]:
        return [node for node in self.table.nodes if node != self.node]

    def _outlive(self, generation: int) -> None:
        """Begin a generation above one that others remember."""
        self._own = self._own._replace(generation=generation + 1, heartbeat=0)
        self.table.merge([self._own])

    def _doubt_the_silent(self, now: float) -> None:
        for node in self._detector.newly_doubted(now):
            self.table.merge([self.table[node].with_suspicions([self.node])])

    def _reply(self, said: list[Member], behind: list[Member]) -> GossipReply:
        """Say where the push was behind, then the newest of what it did not mention."""
        if len(said) >= len(self.table):
            return GossipReply(behind)
        room = self.settings.rows_max - len(behind)
        return GossipReply(behind + self.table.newest(room, {row.node for row in said}))

    def _choose_peers(self) -> list[str]:
        down = self.down()
        chosen: list[str] = []
        for _ in self._peers:
            if len(chosen) == self.settings.fanout:
                break
            peer = self._next_peer()
            if peer not in down and peer not in chosen:
                chosen.append(peer)
        if down:
            chosen.append(self._random.choice(down))
        return chosen

    def _next_peer(self) -> str:
        if not self._to_visit:
            self._to_visit = self._peers.copy()
            self._random.shuffle(self._to_visit)
        return self._to_visit.pop()
