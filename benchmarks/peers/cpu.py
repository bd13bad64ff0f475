"""CPU time of processes and of the whole machine, from `/proc`; NaN where there is none."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def of_processes(pids: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used together."""
    return sum(map(_of_process, pids))


def of_machine() -> float:
    """Return the CPU seconds that everything on the machine has used."""
    try:
        user, nice, system, *_ = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    except OSError:
        return math.nan
    return (user + nice + system) / _TICKS_A_SECOND


def _of_process(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
