"""The levels, specified a second time: how many of N replicas a read asks, and how many a write waits for."""

SLOPPY = frozenset(("ANY", "SLOPPY_QUORUM"))
#: The levels at which every data center counts, each with its own replicas.
EVERYWHERE = frozenset(("EACH_QUORUM", "ALL"))


def awaited_elsewhere(level: str, others: int) -> int:
    """Return in how many of the other data centers a level counts, too."""
    if level == "REMOTE_QUORUM":
        return min(1, others)
    return others if level in EVERYWHERE else 0


def read_and_write_quorum(level: str, replicas: int) -> tuple[int, int]:
    """Return how many home replicas a level's read asks, and how many its write waits for: R and W.

    At a sloppy level all of them may be fallback replicas, so that is 0. `2,1` means explicit counts.
    """
    return (0, 0) if level in SLOPPY else nodes_asked_and_awaited(level, replicas)


def nodes_asked_and_awaited(level: str, replicas: int) -> tuple[int, int]:
    """Return how many nodes a level's read asks, and how many its write waits for, including fallback replicas."""
    majority = (replicas + 2) // 2
    named = {
        "ANY": (1, 1),
        "ONE": (1, 1),
        "SLOPPY_QUORUM": (majority, majority),
        "LOCAL_QUORUM": (majority, majority),
        "LINEARIZABLE": (majority, majority),
        "LOCAL_ALL": (replicas, replicas),
        "REMOTE_QUORUM": (majority, majority),
        "EACH_QUORUM": (majority, majority),
        "ALL": (replicas, replicas),
    }
    if level in named:
        return named[level]
    read, _, write = level.partition(",")
    return int(read), int(write)
