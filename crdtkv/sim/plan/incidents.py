"""The kinds of incidents of a simulated run, and how they are drawn.

`actors.chaos` carries them out. After one of the `DATA_LOSSES` a disk has lost synced data. The guarantees
are weaker then, so fewer checks apply to such runs (`checking.verdict`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

#: By kind: its target, and its longest duration in seconds.
KINDS: dict[str, tuple[str, float]] = {
    # A process or its machine.
    "kill": ("node", 3.0),
    "power_loss": ("node", 3.0),
    "restart": ("node", 0.5),
    "pause": ("node", 6.0),
    "clock_jump": ("node", 0.0),
    # Disks.
    "disk_full": ("node", 3.0),
    "slow_disk": ("node", 3.0),
    "commit_error": ("node", 1.0),
    "sync_error": ("node", 1.0),
    "read_error": ("node", 1.0),
    "scan_error": ("node", 1.0),
    "wipe": ("node", 2.0),
    "rollback": ("node", 2.0),
    "restored_copy": ("node", 2.0),
    "unreadable_disk": ("node", 2.0),
    # Links inside a data center.
    "cut": ("pair", 4.0),
    "one_way": ("pair", 6.0),
    "slow_link": ("pair", 4.0),
    # NATS: the server, the connection to it, the stream, its consumers, the topology bucket.
    "bus_down": ("datacenter", 4.0),
    "bus_cut": ("two datacenters", 4.0),
    "stream_wipe": ("datacenter", 0.0),
    "stream_lose_suffix": ("datacenter", 0.0),
    "stream_lose_middle": ("datacenter", 0.0),
    "stream_rewind": ("datacenter", 0.0),
    "stream_redeliver": ("datacenter", 0.0),
    "stream_refuse": ("datacenter", 3.0),
    "stream_ack_loss": ("datacenter", 3.0),
    "stream_junk": ("datacenter", 0.0),
    "consumer_lost": ("datacenter", 0.0),
    "bucket_wipe": ("datacenter", 0.0),
    "bucket_rewind": ("datacenter", 0.0),
    # Operators.
    "ring_change": ("datacenter", 0.0),
    "rolling_restart": ("datacenter", 0.5),
}

DATA_LOSSES = frozenset(("wipe", "rollback", "restored_copy", "unreadable_disk"))
#: Not drawn together with a restored copy: only the topology bucket shows that a directory is a copy.
_BUCKET_IS_GONE = frozenset(("bus_down", "bucket_wipe"))


@dataclass(frozen=True, slots=True)
class Incident:
    """One fault.

    `other` is the second node or data center; the meaning of `strength` (0 to 1) depends on the kind.
    """

    at_s: float
    kind: str
    target: str
    other: str = ""
    for_s: float = 0.0
    strength: float = 0.5


def draw_incidents(random: Random, datacenters: tuple[str, ...], nodes: int, seconds: float) -> list[Incident]:
    """Draw some kinds, and some incidents of each. In a tenth of the runs one disk loses data, in a tenth several."""
    disk_losses = random.choice(("never",) * 8 + ("once", "often"))
    chance = random.choice((0.1, 0.2, 0.4))
    drawn: list[Incident] = []
    for kind in KINDS:
        if random.random() >= chance or (kind in DATA_LOSSES and disk_losses != "often"):
            continue
        for _ in range(random.randint(1, 3)):
            drawn += _draw_one(random, kind, datacenters, nodes, seconds)
    if disk_losses == "once":
        drawn += _draw_one(random, random.choice(sorted(DATA_LOSSES)), datacenters, nodes, seconds)
    return _in_order(drawn)


def draw_focused(
    random: Random,
    datacenters: tuple[str, ...],
    nodes: int,
    seconds: float,
    kinds: frozenset[str],
    disk_losses: str,
) -> list[Incident]:
    """Draw many incidents of some kinds, few of others, and those of `DATA_LOSSES` kinds as `disk_losses` says."""
    drawn: list[Incident] = []
    for kind in KINDS:
        chance = 0.7 if kind in kinds else 0.05
        if random.random() >= chance or (kind in DATA_LOSSES and disk_losses != "often"):
            continue
        for _ in range(random.randint(1, 3 if kind in kinds else 1)):
            drawn += _draw_one(random, kind, datacenters, nodes, seconds)
    if disk_losses == "once":
        drawn += _draw_one(random, random.choice(sorted(DATA_LOSSES)), datacenters, nodes, seconds * 0.7)
    return _in_order(drawn)


def _in_order(drawn: list[Incident]) -> list[Incident]:
    if any(incident.kind == "restored_copy" for incident in drawn):
        drawn = [incident for incident in drawn if incident.kind not in _BUCKET_IS_GONE]
    return sorted(drawn, key=lambda incident: incident.at_s)


def _draw_one(
    random: Random, kind: str, datacenters: tuple[str, ...], nodes: int, seconds: float
) -> Iterator[Incident]:
    scope, longest_s = KINDS[kind]
    target = datacenter = random.choice(datacenters)
    other = ""
    numbers = random.sample(range(1, nodes + 1), min(2, nodes))
    if scope in ("node", "pair"):
        target = f"{datacenter}-{numbers[0]}"
    if scope == "pair":
        if len(numbers) < 2:
            return
        other = f"{datacenter}-{numbers[1]}"
    elif scope == "two datacenters":
        if len(datacenters) < 2:
            return
        other = random.choice([name for name in datacenters if name != target])
    at_s = random.uniform(0, seconds)
    if kind in ("bucket_wipe", "bucket_rewind"):
        # It finds most when it removes a change that only some nodes have seen.
        yield Incident(round(max(0.0, at_s - random.uniform(0, 2.5)), 4), "ring_change", target)
        # Another change follows soon, under the same epoch.
        yield Incident(round(at_s + random.uniform(0, 1.0), 4), "ring_change", target)
    if kind in ("rollback", "restored_copy"):
        # A backup from before the last start is restored, so there must be an earlier start.
        yield Incident(round(at_s / 2, 4), "restart", target, "", 0.05)
    yield Incident(
        round(at_s, 4),
        kind,
        target,
        other,
        round(random.uniform(0.02, longest_s), 4) if longest_s else 0.0,
        round(random.random(), 4),
    )
