"""`responsibles_of`: the responsible replicas of a key now, and which of them store hints for absent home replicas.

Every home replica that is alive is responsible. For each absent one a node stores a hint. At sloppy levels this is the
next node of the preference list that is alive. That node is a *fallback replica*: it is responsible, and counts, in the
place of the absent one. At strict levels, and if no such node is left, the coordinator stores the hint if it is
responsible itself, and no node counts in the place of the absent replica.

A node that is no home replica can coordinate a sloppy write, as the *fallback coordinator*: it is responsible itself.
If no home replica is absent, the fallback coordinator counts in no quorum: the target of its hint is a home replica
that counts itself, and after the delivery one node holds the entry, not two.

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
        # A fallback coordinator must store its write, whether a home replica is absent or not.
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
