"""`FaultClass`: runs in which most faults are of one kind.

A plan that is drawn at large has a few faults of every kind, so it rarely combines several rare events: a learner among
replicas that differ, a hint that is older than a tombstone's grace. A class draws the shape, the weather and the
incidents that show its kind of mistakes; the calls of the clients are drawn as in any run. The weight of a class is its
number of runs in a round of all classes (`EACH`), by what it finds: docs/simulation.md has the figures.

A run of a class is named by its class and its seed. A seed without a class draws the same as before there were classes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from crdtkv.sim.plan.incidents import DATA_LOSSES, KINDS, Incident, draw_focused
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
    """The draws of one class. `disk_losses` are the choices of how many disks lose data: `never`, `once`, `often`."""

    about: str
    weight: int
    kinds: frozenset[str]
    disk_losses: tuple[str, ...] = ("never",)
    shaped: _Shaping = lambda _, shape: shape
    weathered: _Weathering = lambda _, weather: weather
    more: _Adding = lambda *_: ()
    #: The share of calls at levels that fallback replicas may serve.
    sloppy: float = 0.0
    #: The numbers of scans to choose from.
    scans: tuple[int, ...] = (0, 1, 2, 4, 8)
    is_watched: bool = False
    collects: bool = False

    def incidents(self, random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float) -> list[Incident]:
        """Draw the incidents."""
        disk_losses = random.choice(self.disk_losses)
        drawn = draw_focused(random, datacenters, shape.nodes, seconds, self.kinds, disk_losses)
        drawn += self.more(random, shape, datacenters, seconds)
        return sorted(drawn, key=lambda incident: incident.at_s)

    def level(self, random: Random, level: str) -> str:
        """Return the level of a call, which was drawn at `level` before."""
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
    """Let nodes miss writes: links are cut one after the other."""
    for number in range(4):
        one, other = _node(random, shape, datacenters)
        at_s = seconds * number / 4
        yield Incident(round(at_s, 4), random.choice(("cut", "one_way")), one, other, round(seconds / 3, 4))


def _absent_replicas(random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float) -> Iterable[Incident]:
    """Let several nodes be down at the same time, twice."""
    for number in range(2):
        datacenter = random.choice(datacenters)
        away = random.sample(range(1, shape.nodes + 1), min(shape.nodes - 1, shape.replication_factor))
        for node in away:
            at_s = seconds * (number + random.random()) / 2
            kind = random.choice(("kill", "kill", "power_loss"))
            yield Incident(round(at_s, 4), kind, f"{datacenter}-{node}", "", round(random.uniform(1, seconds), 4))


def _hints_that_stay(random: Random, shape: Shape, datacenters: tuple[str, ...], seconds: float) -> Iterable[Incident]:
    """Cut the link of two nodes that all others reach, so that their hints for each other stay."""
    if random.random() < 0.7:
        for _ in range(random.randint(1, 2)):
            one, other = _node(random, shape, datacenters)
            yield Incident(round(random.uniform(0, seconds / 4), 4), "cut", one, other, round(seconds, 4))


#: The class of a plan without a class.
AT_LARGE = FaultClass("a little of everything", weight=3, kinds=frozenset())
CLASSES: dict[str, FaultClass] = {
    "crashes": FaultClass(
        "processes and disks that fail, and lose no synced data",
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
        "disks that lose data, among replicas that differ",
        weight=3,
        kinds=DATA_LOSSES | _kinds("restart", "ring_change"),
        disk_losses=("once", "once", "once", "often"),
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
        "replicas that are down, and fallback replicas in their place",
        weight=2,
        kinds=_kinds("kill", "pause", "cut", "disk_full"),
        shaped=_few_replicas_of_many,
        more=_absent_replicas,
        sloppy=0.7,
    ),
    "collection": FaultClass(
        "tombstones that are collected, while hints stay and nodes are down",
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
        "NATS that is down, and a topology bucket that loses changes",
        weight=1,
        kinds=_kinds("bus_down", "bus_cut", "bucket_wipe", "bucket_rewind", "ring_change", "restart"),
        disk_losses=("never", "never", "once"),
    ),
    "clocks": FaultClass(
        "clocks that are wrong, drift and jump",
        weight=1,
        kinds=_kinds("clock_jump", "restart"),
        weathered=_wrong_clocks,
    ),
    "watchers": FaultClass(
        "watchers of nodes that restart, lose data and leave",
        weight=1,
        kinds=_kinds("kill", "restart", "rolling_restart", "cut", "ring_change"),
        disk_losses=("never", "once"),
        shaped=_at_least_three_nodes,
        is_watched=True,
    ),
}
#: The name for all classes in turn, with runs at large among them.
EACH = "each"
_ROUND = (*[""] * AT_LARGE.weight, *(name for name, one in CLASSES.items() for _ in range(one.weight)))


def class_in_turn(seed: int) -> str:
    """Return the class of a seed when all classes take turns."""
    return _ROUND[seed % len(_ROUND)]
