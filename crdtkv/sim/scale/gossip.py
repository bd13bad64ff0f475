"""The gossip of one data center of any size: its traffic, and the time until it detects failed nodes.

Every node is the product's own `Gossip`; time is simulated, and links that delay and lose messages. All nodes are
linked to each other, as in the product: when a process is killed, all others see their link reset; when a node is
black-holed, they see nothing. (The product's links would notice three seconds of silence; here gossip must.) Messages
count as the bytes of whole frames, without TCP headers and the heartbeats of links.

In one run the gossip settles, then traffic is counted, then nodes are killed and started again, then others are cut
off.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from random import Random
from statistics import median

from crdtkv import cbor
from crdtkv.node.membership.gossip import Gossip, GossipPush, GossipReply, GossipSettings, Status
from crdtkv.node.membership.member import Load, Member
from crdtkv.sim.world.scheduler import Scheduler
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.frames import framed
from crdtkv.wire.messages import MembersPush, MembersReply

DELAY_MIN_S, DELAY_MAX_S = 0.0002, 0.002
VICTIMS = 3
_EPOCH = 1


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one run: its duration, and the faults of its links."""

    seed: int = 0
    seconds: float = 30.0
    loss: float = 0.0
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GossipFigures:
    """The figures of one size. Rates are per node and second, times in seconds, over all observers and victims."""

    nodes: int
    messages_per_s: float
    sent_bytes_per_s: float
    received_bytes_per_s: float
    busiest_bytes_per_s: float
    largest_message_bytes: int
    suspect_after_s: float
    killed_median_s: float | None
    killed_max_s: float | None
    silent_median_s: float | None
    silent_max_s: float | None
    undetected: int
    false_suspicions: int
    false_alarms: int


@dataclass(slots=True)
class Traffic:
    """Bytes and messages of one node while they are counted."""

    messages: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass(slots=True)
class Opinions:
    """The opinions of observers, right and wrong.

    Delays are from the fault to `DOWN`, by observer and victim. A late heartbeat of a victim may reverse an
    opinion; the last `DOWN` counts.
    """

    killed: dict[tuple[str, str], float] = field(default_factory=dict)
    silent: dict[tuple[str, str], float] = field(default_factory=dict)
    expected: int = 0
    false_suspicions: int = 0
    false_alarms: int = 0

    @property
    def undetected(self) -> int:
        """The number of pairs of observer and victim that never came to the right opinion."""
        return self.expected - len(self.killed) - len(self.silent)


class GossipRun:
    """One run of a data center. `victims` nodes are killed, and as many others are cut off."""

    def __init__(self, nodes: int, victims: int, conditions: Conditions, settings: GossipSettings) -> None:
        self._conditions = conditions
        self._settings = settings
        self._scheduler = Scheduler()
        self._random = Random(conditions.seed)
        self._names = [f"eu-{number:04d}" for number in range(1, nodes + 1)]
        self._victims = victims
        self._gossips: dict[str, Gossip] = {}
        self._thinks: dict[str, dict[str, Status]] = {name: {} for name in self._names}
        self._gone_at: dict[str, float] = {}
        self._killed: set[str] = set()
        self._is_counting = False
        self.traffic = {name: Traffic() for name in self._names}
        self.largest_message_bytes = 0
        self.counted_s = 0.0
        self.opinions = Opinions()
        for name in self._names:
            self._start(name, 1)

    @property
    def suspect_after_s(self) -> float:
        """The time without a heartbeat after which a node of this data center is suspected."""
        return self._gossips[self._names[0]].suspect_after_s

    def execute(self) -> None:
        """Carry out the run."""
        seconds = self._conditions.seconds
        self._count_traffic(seconds / 6, seconds / 3)
        victims = self._random.sample(self._names, 2 * self._victims)
        killed, silent = victims[: self._victims], victims[self._victims :]
        self._lose(killed, by_killing=True)
        self._scheduler.run_until(seconds / 2)
        for name in killed:
            self._start(name, 2)
        self._scheduler.run_until(seconds * 2 / 3)
        self._lose(silent, by_killing=False)
        self._scheduler.run_until(seconds)

    def execute_quietly(self) -> None:
        """Carry out a run without any fault of nodes."""
        self._count_traffic(0.0, self._conditions.seconds)

    def _count_traffic(self, from_s: float, until_s: float) -> None:
        self._scheduler.run_until(from_s)
        self._is_counting = True
        self._scheduler.run_until(until_s)
        self._is_counting = False
        self.counted_s = until_s - from_s

    def _start(self, name: str, generation: int) -> None:
        now = self._scheduler.now
        gossip = Gossip(
            name,
            generation,
            self._random.getrandbits(64),
            self._names,
            Random(self._random.getrandbits(64)),
            now,
            self._settings,
        )
        self._gossips[name] = gossip
        self._thinks[name] = {}
        self._gone_at.pop(name, None)
        self._killed.discard(name)
        self._scheduler.after(self._random.uniform(0, self._settings.interval_s), lambda: self._tick(gossip))

    def _lose(self, victims: Iterable[str], by_killing: bool) -> None:
        self._gone_at.update(dict.fromkeys(victims, self._scheduler.now))
        observers = [name for name in self._names if name not in self._gone_at]
        for victim in victims:
            self.opinions.expected += len(observers)
            if by_killing:
                self._killed.add(victim)
                for observer in observers:
                    self._reset_link(observer, victim)

    def _reset_link(self, observer: str, victim: str) -> None:
        gossip = self._gossips[observer]
        self._scheduler.after(self._delay_s(), lambda: gossip.evidence(victim, self._scheduler.now))

    def _tick(self, gossip: Gossip) -> None:
        if self._gossips[gossip.node] is not gossip or gossip.node in self._killed:
            return
        load = Load(self._random.randrange(20_000), self._random.randrange(200), self._random.randrange(300, 9_000), 40)
        for peer, push in gossip.tick(self._scheduler.now, load):
            self._send(gossip.node, peer, push)
        self._note_opinions(gossip)
        self._scheduler.after(self._settings.interval_s, lambda: self._tick(gossip))

    def _send(self, sender: str, receiver: str, message: GossipPush | GossipReply) -> None:
        size = self._count(sender, message)
        is_cut = sender in self._gone_at or receiver in self._gone_at
        if is_cut or (self._conditions.loss and self._random.random() < self._conditions.loss):
            return
        self._scheduler.after(self._delay_s(), lambda: self._arrive(sender, receiver, message, size))

    def _arrive(self, sender: str, receiver: str, message: GossipPush | GossipReply, size: int) -> None:
        if receiver in self._gone_at:
            return
        self.traffic[receiver].received_bytes += size
        gossip = self._gossips[receiver]
        reply = gossip.receive(message, self._scheduler.now)
        if reply is not None:
            self._send(receiver, sender, reply)
        self._note_opinions(gossip)

    def _count(self, sender: str, message: GossipPush | GossipReply) -> int:
        """Count a message that is sent; return its bytes, 0 while nothing is counted."""
        if not self._is_counting:
            return 0
        size = frame_bytes(message)
        self.largest_message_bytes = max(self.largest_message_bytes, size)
        self.traffic[sender].messages += 1
        self.traffic[sender].sent_bytes += size
        return size

    def _delay_s(self) -> float:
        return self._random.uniform(DELAY_MIN_S, DELAY_MAX_S) + self._random.uniform(0, self._conditions.jitter_s)

    def _note_opinions(self, gossip: Gossip) -> None:
        """Compare the opinions of an observer with its former ones, unless the observer itself has failed."""
        thought = self._thinks[gossip.node]
        suspected = gossip.suspected()
        if not (thought or suspected) or gossip.node in self._gone_at:
            return
        thinks = {node: gossip.status(node) for node in suspected}
        self._thinks[gossip.node] = thinks
        for node, status in thinks.items():
            if status is not thought.get(node):
                self._count_opinion(gossip.node, node, status)

    def _count_opinion(self, observer: str, node: str, status: Status) -> None:
        gone_at = self._gone_at.get(node)
        if gone_at is None:
            self.opinions.false_suspicions += status is Status.SUSPECTED
            self.opinions.false_alarms += status is Status.DOWN
        elif status is Status.DOWN:
            delays = self.opinions.killed if node in self._killed else self.opinions.silent
            delays[observer, node] = self._scheduler.now - gone_at


def measure(nodes: int, conditions: Conditions, settings: GossipSettings) -> GossipFigures:
    """Repeat runs until there were `VICTIMS` of each kind, at most a tenth of the nodes in one run."""
    at_once = max(1, min(VICTIMS, nodes // 10))
    runs: list[GossipRun] = []
    for number in range(ceil(VICTIMS / at_once)):
        seed = Random(f"{conditions.seed} {nodes} {number}").getrandbits(64)
        runs.append(GossipRun(nodes, at_once, replace(conditions, seed=seed), settings))
        runs[-1].execute()
    return _figures(nodes, runs)


def _figures(nodes: int, runs: list[GossipRun]) -> GossipFigures:
    counted_s = sum(run.counted_s for run in runs)
    traffic = [one for run in runs for one in run.traffic.values()]
    killed = [delay for run in runs for delay in run.opinions.killed.values()]
    silent = [delay for run in runs for delay in run.opinions.silent.values()]
    busiest = max(one.sent_bytes + one.received_bytes for one in traffic)
    return GossipFigures(
        nodes=nodes,
        messages_per_s=sum(one.messages for one in traffic) / nodes / counted_s,
        sent_bytes_per_s=sum(one.sent_bytes for one in traffic) / nodes / counted_s,
        received_bytes_per_s=sum(one.received_bytes for one in traffic) / nodes / counted_s,
        busiest_bytes_per_s=busiest / runs[0].counted_s,
        largest_message_bytes=max(run.largest_message_bytes for run in runs),
        suspect_after_s=runs[0].suspect_after_s,
        killed_median_s=median(killed) if killed else None,
        killed_max_s=max(killed, default=None),
        silent_median_s=median(silent) if silent else None,
        silent_max_s=max(silent, default=None),
        undetected=sum(run.opinions.undetected for run in runs),
        false_suspicions=sum(run.opinions.false_suspicions for run in runs),
        false_alarms=sum(run.opinions.false_alarms for run in runs),
    )


def frame_bytes(message: GossipPush | GossipReply) -> int:
    """Return how long a message is on a link, as a frame of its own."""
    return _envelope_bytes(len(message.rows)) + sum(map(_row_bytes, message.rows))


def encoded(message: GossipPush | GossipReply) -> bytes:
    """Return a message as the frame that `frame_bytes` measures, which a node could decode."""
    rows: list[object] = [list(_flat(row)) for row in message.rows]
    spoken = MembersPush(rows) if isinstance(message, GossipPush) else MembersReply(rows)
    return framed(encode_frame(_EPOCH, [spoken]))


def _flat(row: Member) -> Iterator[object]:
    yield from (row.node, row.generation, row.heartbeat, row.incarnation)
    yield from row.load
    yield from row.suspicions


@lru_cache(maxsize=4096)
def _envelope_bytes(rows: int) -> int:
    """Return the bytes around that many rows: a row of one byte stands for each."""
    return len(framed(encode_frame(_EPOCH, [MembersPush([0] * rows)]))) - rows


@lru_cache(maxsize=1 << 17)
def _row_bytes(row: Member) -> int:
    """Return the bytes of a row. It is encoded once, however many messages it is in."""
    return len(cbor.encode(list(_flat(row))))
