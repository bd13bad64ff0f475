"""`responsibles_of`: which nodes answer for a key now, and which of them store a hint for an absent home replica.

Every home replica that is alive is responsible. A hint is stored for each absent one: at strict levels by the
coordinator, which holds the entry anyway; at sloppy levels by the next node of the preference list that is alive. That
node is a *fallback replica*: it is responsible, and counts, in the place of the absent one. When there is no such node
left, the coordinator stores the hint, and the place of the absent replica stays empty.

A node that is no home replica can coordinate a sloppy write, as the *fallback coordinator*: it is responsible itself.
If no home replica is absent, it counts in no quorum: its hint goes to a home replica that counts itself, and then one
node holds the entry, not two.

Source: DeCandia et al., "Dynamo" (2007), section 4.6.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Responsible(NamedTuple):
    """One responsible replica of a key. `targets` are the absent home replicas that it stores a hint for."""

    node: str
    is_home: bool
    is_counted: bool
    targets: tuple[str, ...] = ()


def responsibles_of(
    coordinator: str,
    homes: Sequence[str],
    uncounted: Collection[str],
    fallbacks: Sequence[str],
    alive: Collection[str],
    is_sloppy: bool,
) -> tuple[Responsible, ...]:
    """Return the responsible replicas of a key in the order of its preference list; `alive` contains the coordinator.

    `uncounted` are home replicas that take writes and count in no quorum.
    """
    hints_of: dict[str, list[str]] = {home: [] for home in homes if home in alive}
    spares = [name for name in fallbacks if name in alive and name != coordinator] if is_sloppy else []
    is_fallback_coordinator = is_sloppy and coordinator not in homes
    absent = [home for home in homes if home not in alive]
    takes_a_place = bool(absent)
    if is_fallback_coordinator:
        # It must hold what it writes, whether a home replica is absent or not.
        hints_of[coordinator] = [absent.pop(0) if absent else homes[0]]
    for target in absent:
        if spares:
            hints_of[spares.pop(0)] = [target]
        elif coordinator in hints_of:
            hints_of[coordinator].append(target)
    return tuple(
        Responsible(name, name in homes, name not in uncounted if name in homes else takes_a_place, tuple(targets))
        for name, targets in hints_of.items()
    )
