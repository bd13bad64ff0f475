"""`Gossip`: spreads the member table, and decides which nodes are down.

Every `interval_s` a node increments its heartbeat and pushes the rows that changed last to `fanout` peers. Each merges
them and answers with the rows that the push lacked. Peers are taken in turn from a shuffled list of all, so that no
node waits long for a push by chance (SWIM, section 4.3). News reach all nodes in O(log n) rounds.

Whole rows travel, without a digest first. A digest pays where little has changed, but every heartbeat grows every
round: asking first would save a quarter of the bytes in a ring of a thousand nodes, a fifth in one of ten, and cost a
third message and half a round trip. A message holds at most `rows_max` rows, the news first: in a ring larger than
that, a new heartbeat overtakes older ones, which are then never sent, and the wait must grow with the ring.

A node is *suspected* while this node misses the growth of its heartbeat, and *down* when another observer misses the
growth of the same heartbeat. One observer suffices if it suspects all other nodes: in a ring of two, or as the last
live node. Every round a node also pushes to one random node that is down, so that the two halves of a ring reconnect
after a network partition.

Pure: the host calls `tick` when `next_tick` is due, passes messages, reports links, and sends the returned messages.
Messages may be lost, duplicated and reordered. Gossip does not decide which nodes are in the ring: see `follow`.

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
    """The rows that changed last at the sender, at most `rows_max`. Answered by `GossipReply`."""

    rows: list[Member]


class GossipReply(NamedTuple):
    """The rows that the push lacked."""

    rows: list[Member]


class Status(Enum):
    """The state of another node, as this node sees it."""

    ALIVE = "alive"
    SUSPECTED = "suspected"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """The interval of rounds, the number of peers per round, and the number of rows per message."""

    interval_s: float = 0.5
    fanout: int = 2
    rows_max: int = 1024
    detector: DetectorSettings = field(default_factory=DetectorSettings)


class Gossip:
    """One node's view of its data center. Times are monotonic seconds.

    `generation` should grow with every start of the node. A node that receives a later generation of itself has lost
    its count of starts, and continues with a generation above it.
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
        #: A row about this node from a later start, or a later heartbeat, than its own, if others have sent one.
        self.remembered: Member | None = None
        self._peers = self._others()
        self._to_visit: list[str] = []
        self._detector = FailureDetector(self.settings.detector, self._peers, now)

    @property
    def generation(self) -> int:
        """The current generation."""
        return self._own.generation

    @property
    def suspect_after_s(self) -> float:
        """How long a heartbeat may stay the same in this ring, in seconds."""
        return self._detector.suspect_after_s

    def follow(self, nodes: Iterable[str], now: float) -> None:
        """Take the nodes of a new ring; new nodes count as alive until their wait ends."""
        self.table.follow({*nodes, self.node})
        self._peers = self._others()
        self._to_visit.clear()
        self._detector.follow(self._peers, now)

    def tick(self, now: float, load: Load = NO_LOAD) -> list[tuple[str, GossipPush]]:
        """Begin a round: increment the heartbeat, suspect silent nodes, and return the messages to send, by peer."""
        self._detector.look(now)
        self.next_tick = now + self.settings.interval_s
        self._own = self._own._replace(heartbeat=self._own.heartbeat + 1, load=load)
        self.table.merge([self._own])
        self._doubt_the_silent(now)
        push = GossipPush(self.table.newest(self.settings.rows_max))
        return [(peer, push) for peer in self._choose_peers()]

    def receive(self, message: GossipPush | GossipReply, now: float) -> GossipReply | None:
        """Merge the rows of a message; return the answer to a push, None for a reply."""
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
        """Note that a link to a node was refused or reset, which shortens the wait until it is suspected."""
        self._detector.look(now)
        self._detector.evidence(node, now)

    def linked(self, node: str, now: float) -> None:
        """Note that a node has greeted on a new link, which withdraws such evidence, and ends a suspicion."""
        self._detector.look(now)
        self._detector.linked(node, now)

    def new_incarnation(self, incarnation: int) -> None:
        """Publish a new incarnation of this node from the next round on."""
        self._own = self._own._replace(incarnation=incarnation)

    def status(self, node: str) -> Status:
        """Return the state of a node, as this node sees it."""
        if not self._detector.doubts(node):
            return Status.ALIVE
        is_confirmed = any(observer != self.node for observer in self.table[node].suspicions)
        return Status.DOWN if is_confirmed or self._detector.doubts_all() else Status.SUSPECTED

    def greeting(self) -> GossipPush:
        """Return the message for a node on a new link."""
        self.table.merge([self._own])
        return GossipPush(self.table.newest(self.settings.rows_max))

    def suspected(self) -> list[str]:
        """Return the nodes that are suspected or down, sorted."""
        return sorted(self._detector.doubted)

    def down(self) -> list[str]:
        """Return the nodes that are down, sorted."""
        return [node for node in self.suspected() if self.status(node) is Status.DOWN]

    def _others(self) -> list[str]:
        return [node for node in self.table.nodes if node != self.node]

    def _outlive(self, generation: int) -> None:
        """Begin a generation above one that others have received."""
        self._own = self._own._replace(generation=generation + 1, heartbeat=0)
        self.table.merge([self._own])

    def _doubt_the_silent(self, now: float) -> None:
        for node in self._detector.newly_doubted(now):
            self.table.merge([self.table[node].with_suspicions([self.node])])

    def _reply(self, said: list[Member], behind: list[Member]) -> GossipReply:
        """Return the rows where the push was behind, then the newest rows that it did not contain."""
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
