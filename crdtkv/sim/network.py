"""Simulated links inside a data center: frames that are late, lost, doubled or out of order.

Worse than TCP on purpose: the core must not lean on what a link happens to guarantee. Only a frame with a client's
mutation is never doubled, because a link does not do that and an increment is not idempotent. A link has a session
number; a crash, a cut or a restart begins a new one, and what is under way from an old session is gone.
"""

from collections.abc import Callable
from random import Random

from crdtkv.sim.faults import Faults
from crdtkv.sim.scheduler import Scheduler

Deliver = Callable[[str, bytes], None]


class Network:
    """All links of the cluster; ends are names of nodes and clients."""

    def __init__(self, scheduler: Scheduler, random: Random, faults: Faults) -> None:
        self._scheduler = scheduler
        self._random = random
        self.faults = faults
        self._sessions: dict[tuple[str, str], int] = {}
        self._cut: set[tuple[str, str]] = set()
        self.dropped = 0

    def session(self, one: str, other: str) -> int:
        """Return the number of the session between two ends."""
        return self._sessions.get(_pair(one, other), 0)

    def reset(self, one: str, other: str) -> None:
        """Begin a new session: what is under way is lost."""
        self._sessions[_pair(one, other)] = self.session(one, other) + 1

    def cut(self, one: str, other: str) -> None:
        """Let nothing through, and lose what is under way."""
        self._cut.add(_pair(one, other))
        self.reset(one, other)

    def heal(self, one: str, other: str) -> None:
        """Let frames through again."""
        self._cut.discard(_pair(one, other))

    def is_cut(self, one: str, other: str) -> bool:
        """Tell whether the two cannot talk."""
        return _pair(one, other) in self._cut

    def send(self, sender: str, receiver: str, payload: bytes, deliver: Deliver, may_double: bool) -> None:
        """Carry a frame, or not."""
        if self.is_cut(sender, receiver) or self._random.random() < self.faults.loss:
            self.dropped += 1
            return
        copies = 2 if may_double and self._random.random() < self.faults.duplication else 1
        session = self.session(sender, receiver)

        def arrive() -> None:
            if session == self.session(sender, receiver):
                deliver(sender, payload)

        for _ in range(copies):
            delay = self._random.uniform(self.faults.delay_min_s, self.faults.delay_max_s)
            if self._random.random() < self.faults.reordering:
                delay *= self._random.uniform(1, 10)
            self._scheduler.after(delay, arrive)


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
