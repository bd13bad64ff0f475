"""`FaultClass`: lives of which most of what breaks is of one kind.

A plan drawn at large has a little of everything, so what needs several rare things at once is hardly ever met: a
learner and replicas that differ, a hint that outlives a tombstone. A class draws the shape, the weather and the
incidents in which its kind of mistakes shows; clients do what they do in any life. Weights say how many lives of a
round are of each class (`EACH`), by what they find: docs/simulation.md has the figures.

A life of a class is named by both, its class and its seed. Without a class a seed means what it always has.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from crdtkv.sim.plan.incidents import FORGETFUL, KINDS, Incident, draw_focused
from crdtkv.sim.plan.shape import Shape, Weather

_Shaping = Callable[[Random, Shape], Shape]
_Weathering = Callable[[Random, Weather], Weather]
_Adding = Callable[[Random, Shape, tuple[str, ...], float], Iterable[Incident]]

_SLOPPY_LEVELS = ("ANY", "SLOPPY_QUORUM")


def _kinds(*names: str) -> frozenset[str]:
    assert set(names) <= set(KINDS)
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class FaultClass:
    """What a class draws otherwise. `forgets` is how many disks forget: `never`, or a choice of `once` and `often`."""

    about: str
    weight: int
    kinds: frozenset[str]
    forgets: tuple[str, ...] = ("never",)
    shaped: _Shaping = lambda _, shape: shape
    weathered: _Weathering = lambda _, weather: weather
    more: _Adding = lambda *_: ()
    #: The share of calls at levels at which others stand in.
    sloppy: float = 0.0
    #: How many scans there may be.
    scans: tuple[int, ...] = (0, 1, 2, 4, 8)
    is_watched: bool = False
    collects: bool = False

    def incidents(self, random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float) -> list[Incident]:
        """Draw what breaks."""
        forgets = random.choice(self.forgets)
        drawn = draw_focused(random, datacenters, shape.nodes, seconds, self.kinds, forgets)
        drawn += self.more(random, shape, datacenters, seconds)
        return sorted(drawn, key=lambda incident: incident.at_s)

    def level(self, random: Random, level: str) -> str:
        """Return the level of a call that was drawn at this one."""
        if level == "LINEARIZABLE" or random.random() >= self.sloppy:
            return level
        return random.choice(_SLOPPY_LEVELS)


def _node(random: Random, shape: Shape, datacenters: tuple[str, ...]) -> tuple[str, str]:
    """Draw a data center, and two of its nodes."""
    datacenter = random.choice(datacenters)
    one, other = random.sample(range(1, shape.nodes + 1), 2)
    return f"{datacenter}-{one}", f"{datacenter}-{other}"


def _three_replicas(random: Random, shape: Shape) -> Shape:
    return replace(shape, nodes=random.choice((3, 3, 4)), replication_factor=3, partitions=random.choice((1, 2, 2, 8)))


def _few_replicas_of_many(random: Random, shape: Shape) -> Shape:
    factor = random.choice((1, 2, 2, 3))
    hints_max = random.choice((100_000, 100_000, 100_000, 2))
    return replace(shape, nodes=random.choice((factor + 1, factor + 2)), replication_factor=factor, hints_max=hints_max)


def _one_datacenter(random: Random, shape: Shape) -> Shape:
    return replace(_three_replicas(random, shape), datacenters=1, nodes=random.choice((3, 4, 4, 5)))


def _several_datacenters(random: Random, shape: Shape) -> Shape:
    return replace(shape, datacenters=random.choice((2, 3)), nodes=random.choice((1, 2, 3, 3)))


def _few_partitions(random: Random, shape: Shape) -> Shape:
    return replace(shape, nodes=max(3, shape.nodes), partitions=random.choice((1, 1, 8)))


def _at_least_three_nodes(_: Random, shape: Shape) -> Shape:
    return replace(shape, nodes=max(3, shape.nodes))


def _wrong_clocks(random: Random, weather: Weather) -> Weather:
    offset_s = random.choice((1, 5, 5, 60, 3600, 1.7e9, 2.4e9))
    return replace(weather, clock_offset_s=offset_s, clock_drift=random.choice((0.0, 0.01, 0.05)))


def _lossy(random: Random, weather: Weather) -> Weather:
    return replace(weather, loss=round(random.uniform(0.02, 0.25), 4), reordering=round(random.uniform(0, 0.3), 4))


def _replicas_that_differ(
    random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float
) -> Iterable[Incident]:
    """Let nodes miss writes: links are cut all the time, one after the other."""
    for number in range(4):
        one, other = _node(random, shape, datacenters)
        at_s = seconds * number / 4
        yield Incident(round(at_s, 4), random.choice(("cut", "one_way")), one, other, round(seconds / 3, 4))


def _absent_replicas(random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float) -> Iterable[Incident]:
    """Let several nodes be away at one time, twice."""
    for number in range(2):
        datacenter = random.choice(datacenters)
        away = random.sample(range(1, shape.nodes + 1), min(shape.nodes - 1, shape.replication_factor))
        for node in away:
            at_s = seconds * (number + random.random()) / 2
            kind = random.choice(("kill", "kill", "power_loss"))
            yield Incident(round(at_s, 4), kind, f"{datacenter}-{node}", "", round(random.uniform(1, seconds), 4))


def _hints_that_stay(random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float) -> Iterable[Incident]:
    """Let two nodes not reach each other while all others reach both: what one keeps for the other stays."""
    if random.random() < 0.7:
        for _ in range(random.randint(1, 2)):
            one, other = _node(random, shape, datacenters)
            yield Incident(round(random.uniform(0, seconds / 4), 4), "cut", one, other, round(seconds, 4))


#: What a plan without a class has: a little of everything.
AT_LARGE = FaultClass("a little of everything", weight=3, kinds=frozenset())
CLASSES: dict[str, FaultClass] = {
    "crashes": FaultClass(
        "processes and disks that fail, and forget nothing that was synced",
        weight=1,
        kinds=_kinds(
            "kill",
            "power_loss",
            "restart",
            "pause",
            "rolling_restart",
            "disk_full",
            "slow_disk",
            "commit_error",
            "sync_error",
            "read_error",
            "scan_error",
        ),
    ),
    "disks": FaultClass(
        "disks that forget, among replicas that differ",
        weight=3,
        kinds=FORGETFUL | _kinds("restart", "ring_change"),
        forgets=("once", "once", "once", "often"),
        shaped=_three_replicas,
        weathered=_lossy,
        more=_replicas_that_differ,
    ),
    "partitions": FaultClass(
        "links inside a data center that are cut, slow or black holes, among many scans",
        weight=1,
        kinds=_kinds("cut", "one_way", "slow_link", "pause"),
        shaped=_few_partitions,
        weathered=_lossy,
        scans=(4, 8, 16),
    ),
    "fallbacks": FaultClass(
        "absent replicas, and others that take the place of them",
        weight=2,
        kinds=_kinds("kill", "pause", "cut", "disk_full"),
        shaped=_few_replicas_of_many,
        more=_absent_replicas,
        sloppy=0.7,
    ),
    "collection": FaultClass(
        "tombstones that go, while hints stay and nodes are away",
        weight=2,
        kinds=_kinds("pause", "restart", "slow_link"),
        shaped=_one_datacenter,
        more=_hints_that_stay,
        collects=True,
    ),
    "streams": FaultClass(
        "streams that lose, repeat and refuse messages",
        weight=1,
        kinds=_kinds(
            "stream_wipe",
            "stream_lose_suffix",
            "stream_lose_middle",
            "stream_rewind",
            "stream_redeliver",
            "stream_refuse",
            "stream_ack_loss",
            "stream_junk",
            "consumer_lost",
        ),
        shaped=_several_datacenters,
    ),
    "nats": FaultClass(
        "NATS that is away, and the topology bucket that forgets",
        weight=1,
        kinds=_kinds("bus_down", "bus_cut", "bucket_wipe", "bucket_rewind", "ring_change", "restart"),
        forgets=("never", "never", "once"),
    ),
    "clocks": FaultClass(
        "clocks that are wrong, drift and jump",
        weight=1,
        kinds=_kinds("clock_jump", "restart"),
        weathered=_wrong_clocks,
    ),
    "watchers": FaultClass(
        "watchers of nodes that restart, forget and leave",
        weight=1,
        kinds=_kinds("kill", "restart", "rolling_restart", "cut", "ring_change"),
        forgets=("never", "once"),
        shaped=_at_least_three_nodes,
        is_watched=True,
    ),
}
#: The name of all classes in turn; lives without a class among them.
EACH = "each"
_ROUND = (*[""] * AT_LARGE.weight, *(name for name, one in CLASSES.items() for _ in range(one.weight)))


def class_in_turn(seed: int) -> str:
    """Return the class of a seed when all have their turn."""
    return _ROUND[seed % len(_ROUND)]
