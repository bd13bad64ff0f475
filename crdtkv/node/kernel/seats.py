"""`take_seats`: which nodes answer for a key now, and who keeps a hint for a home replica that cannot.

Every home replica that is alive has a seat. What an absent one misses is kept for it as a hint: at strict levels by
the coordinator, which holds the entry anyway; at sloppy levels by the next node of the walk that is alive, which takes
the seat of the absent one and counts in its place. When the walk has nobody left, the coordinator keeps the hint, and
the seat stays empty.

A sloppy write can be coordinated by a node that is no home replica, a *guest*: it has a seat of its own.

Source: DeCandia et al., "Dynamo" (2007), section 4.6.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Seat(NamedTuple):
    """One node that answers for a key. `targets` are the absent home replicas it keeps a hint for."""

    node: str
    is_home: bool
    is_counted: bool
    targets: tuple[str, ...] = ()


def take_seats(
    coordinator: str,
    homes: Sequence[str],
    uncounted: Collection[str],
    stand_ins: Sequence[str],
    alive: Collection[str],
    is_sloppy: bool,
) -> tuple[Seat, ...]:
    """Return the seats of a key in the order of its walk; `alive` has the coordinator in it.

    `uncounted` are home replicas that take writes and count in no quorum.
    """
    keeps: dict[str, list[str]] = {home: [] for home in homes if home in alive}
    spares = [name for name in stand_ins if name in alive and name != coordinator] if is_sloppy else []
    is_guest = is_sloppy and coordinator not in homes
    absent = [home for home in homes if home not in alive]
    if is_guest:
        # It must hold what it writes, whether anybody is absent or not.
        keeps[coordinator] = [absent.pop(0) if absent else homes[0]]
    for target in absent:
        if spares:
            keeps[spares.pop(0)] = [target]
        elif coordinator in keeps:
            keeps[coordinator].append(target)
    return tuple(
        Seat(name, name in homes, name not in homes or name not in uncounted, tuple(targets))
        for name, targets in keeps.items()
    )
