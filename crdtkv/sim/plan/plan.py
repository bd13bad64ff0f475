"""`Plan`: all data of one simulated run, drawn from one seed.

A plan contains the shape of the cluster and its limits, the weather (permanent faults of messages, fsyncs and clocks),
the incidents (single faults, with their times and durations) and the calls of the clients. It can be printed, stored,
replayed and cut down (`shrink`). Each seed enables a random subset of the kinds of incidents, so that they occur in all
combinations, and draws small limits, so that rare paths are common.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Any

from crdtkv.checking.history import WRITES
from crdtkv.sim.plan.fault_classes import AT_LARGE, CLASSES, FaultClass
from crdtkv.sim.plan.incidents import DATA_LOSSES, KINDS, Incident, draw_incidents
from crdtkv.sim.plan.more_types import NOT_DELETED, with_expiries, with_sets, with_types
from crdtkv.sim.plan.shape import COMPARES_S, GC_GRACE_S, NO_COMPARISONS_S, Shape, Weather
from crdtkv.sim.plan.workload import GEO_LEVELS, NO_KEY, Call, draw_calls, draw_moves, draw_scans

DATACENTERS = ("eu", "us", "ap")


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: the faults last `seconds`, then everything heals."""

    seed: int
    seconds: float
    shape: Shape
    weather: Weather
    incidents: tuple[Incident, ...]
    calls: tuple[Call, ...]
    #: The class of `fault_classes` that it was drawn from, "" for none (at large).
    fault_class: str = ""

    @property
    def loses_data(self) -> bool:
        """Whether a disk loses synced data."""
        return self.lost_disks > 0

    @property
    def lost_disks(self) -> int:
        """How often a disk loses synced data."""
        return sum(incident.kind in DATA_LOSSES for incident in self.incidents)

    @property
    def ends_equal(self) -> bool:
        """Whether all data centers are equal in the end: exchanges find also what no mark tells of."""
        return not self.loses_data or self.shape.compare_interval_s == COMPARES_S

    @property
    def collects(self) -> bool:
        """Whether tombstones are collected within this run."""
        return self.shape.gc_grace_s < GC_GRACE_S and self.shape.datacenters == 1

    @property
    def has_good_clocks(self) -> bool:
        """Whether all clocks stay within the drift that timestamps may have."""
        is_jumping = any(incident.kind == "clock_jump" for incident in self.incidents)
        return self.weather.clock_offset_s <= 5 and not is_jumping

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The types and names of all keys that are used, sorted."""
        return sorted({(call.type, call.key) for call in self.calls if call.kind not in NO_KEY})

    @property
    def datacenters(self) -> tuple[str, ...]:
        """The data centers' names."""
        return DATACENTERS[: self.shape.datacenters]

    def __str__(self) -> str:
        """Return the plan in one line, without what has its default."""
        kinds = dict.fromkeys(KINDS, 0)
        for incident in self.incidents:
            kinds[incident.kind] += 1
        parts = [f"{_changed(self.shape, Shape())} {_changed(self.weather, Weather())}".strip()]
        parts += [f"{count} {kind}" for kind, count in kinds.items() if count]
        return f"{len(self.calls)} calls in {self.seconds:g} s: " + ", ".join(part for part in parts if part)

    @classmethod
    def draw(cls, seed: int, fault_class: str = "") -> "Plan":
        """Draw a plan, at large or of a class."""
        random = Random(f"plan {seed}")
        # It has its own generator, so that all other draws of a seed stay the same.
        read_share = Random(f"read share {seed}").choice((0.0, 0.1, 1.0))
        compare_interval_s = Random(f"compare {seed}").choice((COMPARES_S, NO_COMPARISONS_S))
        shape = replace(_draw_shape(random), read_share=read_share, compare_interval_s=compare_interval_s)
        seconds = random.choice((2.0, 4.0, 8.0))
        focus, of_class = CLASSES.get(fault_class), Random(f"{fault_class} {seed}")
        if focus is not None:
            shape = focus.shaped(of_class, shape)
        names = DATACENTERS[: shape.datacenters]
        weather = _draw_weather(random)
        incidents = draw_incidents(random, names, shape.nodes, seconds)
        calls = _draw_calls(random, names, shape, seconds)
        if focus is not None:
            weather = focus.weathered(of_class, weather)
            incidents = focus.incidents(of_class, shape, names, seconds)
            calls = [replace(call, level=focus.level(of_class, call.level)) for call in calls]
        plan = cls(seed, seconds, shape, weather, tuple(incidents), tuple(calls), fault_class)
        plan = _with_geo_levels(_with_watchers(_with_more_types(plan)))
        return _with_scans_and_moves(_collecting(plan) if shape.datacenters == 1 else plan)

    def to_json(self) -> str:
        """Return the whole plan, to be stored and replayed."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Parse the result of `to_json`.

        Raises:
            ValueError: the text is no plan.
        """
        document: dict[str, Any] = json.loads(text)
        try:
            return cls(
                document["seed"],
                document["seconds"],
                Shape(**document["shape"]),
                Weather(**document["weather"]),
                tuple(Incident(**incident) for incident in document["incidents"]),
                tuple(Call.from_document(call) for call in document["calls"]),
                document.get("fault_class", ""),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a plan: {error!r}") from None

    def without_faults(self) -> "Plan":
        """Return the same calls without any fault."""
        return replace(self, weather=Weather(), incidents=())


def _draw_calls(random: Random, datacenters: tuple[str, ...], shape: Shape, seconds: float) -> list[Call]:
    replicas = min(shape.replication_factor, shape.nodes)
    return draw_calls(random, datacenters, shape.clients, replicas, seconds, random.randint(30, 110))


def _draw_shape(random: Random) -> Shape:
    nodes = random.choice((3, 3, 3, 3, 4, 5, 7, 1, 2))
    return Shape(
        datacenters=random.choice((1, 2, 2, 2, 3)),
        nodes=nodes,
        replication_factor=random.choice((3, 3, 3, 1, 2, 5)),
        partitions=random.choice((1, 8, 64)),
        clients=random.randint(1, 4),
        calls_in_flight_max=random.choice((20_000, 20_000, 8, 3)),
        batch_max=random.choice((512, 3, 1)),
        outbox_max=random.choice((1_000_000, 1_000_000, 4, 2)),
        entry_cache_mib=random.choice((32, 32, 0)),
        gossip_interval_s=random.choice((0.5, 2.0, 2.0)),
        hints_max=random.choice((100_000, 100_000, 2)),
    )


def _draw_weather(random: Random) -> Weather:
    def maybe(high: float) -> float:
        return round(random.uniform(0, high), 4) if random.random() < 0.5 else 0.0

    return Weather(
        delay_max_s=random.choice((0.001, 0.01, 0.1)),
        loss=maybe(0.1),
        duplication=maybe(0.1),
        reordering=maybe(0.3),
        fsync_max_s=random.choice((0.001, 0.02, 0.2)),
        bus_loss=maybe(0.2),
        # An hour and a few seconds off, 1970, 2100; the sign is drawn per node.
        clock_offset_s=random.choice((0, 0, 0, 5, 3600, 1.7e9, 2.4e9)),
        clock_drift=maybe(0.05),
    )


def _collecting(plan: Plan) -> Plan:
    """Let nodes collect tombstones, in most runs of one data center.

    The grace is barely longer than requests and messages last. Clients pause in the middle, long enough for a
    collection, and continue with the same keys.
    """
    random = Random(f"collection {plan.seed}")
    # Short runs show more of what disks do that lose data.
    if random.random() < (0.8 if plan.loses_data else 0.3) and not _focus(plan).collects:
        return plan
    middle_s, pause_s = plan.seconds / 2, random.uniform(18, 30)

    def later(at_s: float) -> float:
        return at_s if at_s < middle_s else round(at_s + pause_s, 4)

    last = {(call.type, call.key): call for call in plan.calls if call.kind in WRITES and call.at_s < middle_s}
    deletes = [
        call
        for call in last.values()
        if call.level != "LINEARIZABLE" and call.type not in NOT_DELETED and random.random() < 0.8
    ]
    incidents = [
        replace(i, at_s=round(random.uniform(0, pause_s), 4) if random.random() < 0.2 else later(i.at_s))
        for i in plan.incidents
    ]
    if _focus(plan).collects:
        incidents = [replace(i, for_s=pause_s) if i.for_s >= middle_s else i for i in incidents]
    if random.random() < 0.3:
        # One node is down all the time, and returns with entries that were deleted meanwhile.
        absent = f"{plan.datacenters[0]}-{random.randint(1, plan.shape.nodes)}"
        incidents.append(Incident(round(random.uniform(0, middle_s), 4), "kill", absent, "", round(pause_s, 4)))
    return replace(
        plan,
        seconds=round(plan.seconds + pause_s, 4),
        shape=replace(plan.shape, gc_grace_s=round(random.uniform(6.0, 8.0), 2)),
        # A slow link multiplies this by up to 31, reordering by up to 10: at most 3 seconds.
        weather=replace(plan.weather, delay_max_s=min(plan.weather.delay_max_s, 0.01)),
        incidents=tuple(sorted(incidents, key=lambda incident: incident.at_s)),
        calls=tuple(
            replace(call, at_s=later(call.at_s), kind="delete", argument=None, ttl_ms=0)
            if call in deletes
            else replace(call, at_s=later(call.at_s))
            for call in plan.calls
        ),
    )


def _with_more_types(plan: Plan) -> Plan:
    """Replace some calls by calls on sets and on all other types, and give some writes a time to live."""
    random = Random(f"sets {plan.seed}")
    calls, shape = with_sets(random, plan.calls), plan.shape
    if calls is not plan.calls:
        shape = replace(shape, whole_entry_bytes=random.choice((0, 0, 1024)))
    random = Random(f"types {plan.seed}")
    calls = with_types(random, calls)
    if shape is plan.shape:
        shape = replace(shape, whole_entry_bytes=random.choice((0, 1024)))
    return replace(plan, shape=shape, calls=with_expiries(random, calls))


def _with_geo_levels(plan: Plan) -> Plan:
    """Give some calls of several data centers a level at which these count, too."""
    random = Random(f"geo levels {plan.seed}")
    share = random.choice((0.0, 0.1, 0.5))
    if plan.shape.datacenters == 1 or not share:
        return plan
    calls = [
        replace(call, level=random.choice(GEO_LEVELS))
        if call.kind not in NO_KEY and call.level != "LINEARIZABLE" and random.random() < share
        else call
        for call in plan.calls
    ]
    return replace(plan, calls=tuple(calls))


def _with_watchers(plan: Plan) -> Plan:
    """Add a watcher, more often in runs with learners, which are nodes whose disk has lost data."""
    random = Random(f"watchers {plan.seed}")
    if random.random() >= (0.6 if plan.loses_data else 0.3) and not _focus(plan).is_watched:
        return plan
    return replace(plan, shape=replace(plan.shape, watchers=1, watch_log_max=random.choice((50_000, 50_000, 8, 2))))


def _focus(plan: Plan) -> FaultClass:
    return CLASSES.get(plan.fault_class, AT_LARGE)


def _with_scans_and_moves(plan: Plan) -> Plan:
    """Add scans, and moves of sessions between clients; they have generators of their own."""
    types = sorted({type_tag for type_tag, _ in plan.keys})
    if not types:
        return plan
    random = Random(f"scans {plan.seed}")
    scans = random.choice(_focus(plan).scans)
    more = [
        *draw_scans(random, plan.datacenters, plan.shape.clients, types, plan.seconds, scans),
        *draw_moves(Random(f"moves {plan.seed}"), plan.datacenters, plan.shape.clients, plan.seconds),
    ]
    return replace(plan, calls=tuple(sorted((*plan.calls, *more), key=lambda call: call.at_s)))


def _changed(mine: Any, default: Any) -> str:
    return " ".join(
        f"{field.name}={getattr(mine, field.name)}"
        for field in fields(mine)
        if getattr(mine, field.name) != getattr(default, field.name)
    )
