"""What the levels promise, written down a second time: how many of N replicas a read asks, and a write waits for."""


def read_and_write_quorum(level: str, replicas: int) -> tuple[int, int]:
    """Return R and W of a level's name; `2,1` stands for explicit counts."""
    majority = (replicas + 2) // 2
    named = {
        "ANY": (1, 1),
        "ONE": (1, 1),
        "LOCAL_QUORUM": (majority, majority),
        "LOCAL_ALL": (replicas, replicas),
    }
    if level in named:
        return named[level]
    read, _, write = level.partition(",")
    return int(read), int(write)
