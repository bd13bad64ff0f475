"""Simulated links inside a data center: frames arrive late, twice, out of order, or not at all.

They are worse than TCP on purpose: the core must not depend on what a link happens to guarantee. Only a frame with a
client's mutation is never doubled, because TCP does not do that, and an increment is not idempotent. A link has a
session number; a crash, a cut or a restart begins a new session, and frames of an old session are lost. A direction can
be blocked without any event: a black hole.
"""

from collections.abc import Callable
from random import Random

from crdtkv.sim.plan.shape import Weather
from crdtkv.sim.world.scheduler import Scheduler

Deliver = Callable[[str, bytes], None]


class _Direction:
    """One direction of a link. It has a random generator of its own, so that other links do not change its draws."""

    __slots__ = ("blocks", "random", "slowness")

    def __init__(self, random: Random) -> None:
        self.random = random
        self.blocks = 0
        self.slowness = 1.0


class Network:
    """All links of the cluster; ends are names of nodes and clients."""

    def __init__(self, scheduler: Scheduler, seed: int, weather: Weather) -> None:
        self._scheduler = scheduler
        self._seed = seed
        self.weather = weather
        self._sessions: dict[tuple[str, str], int] = {}
        self._directions: dict[tuple[str, str], _Direction] = {}
        self._forgotten: dict[tuple[str, str], int] = {}
        self.dropped = 0

    def reset(self, one: str, other: str) -> None:
        """Begin a new session: frames in flight are lost."""
        pair = _pair(one, other)
        self._sessions[pair] = self._sessions.get(pair, 0) + 1

    def forget_to(self, gone: str, other: str) -> None:
        """Lose the frames in flight to a process that has ended; frames that it has sent still arrive."""
        self._forgotten[other, gone] = self._forgotten.get((other, gone), 0) + 1

    def block(self, sender: str, receiver: str) -> None:
        """Block a direction. It opens again after as many calls of `unblock`."""
        self._direction(sender, receiver).blocks += 1

    def unblock(self, sender: str, receiver: str) -> None:
        """Remove one block."""
        direction = self._direction(sender, receiver)
        direction.blocks = max(0, direction.blocks - 1)

    def slow_down(self, sender: str, receiver: str, factor: float) -> None:
        """Multiply all delays of a direction."""
        self._direction(sender, receiver).slowness = factor

    def is_open(self, one: str, other: str) -> bool:
        """Tell whether neither direction is blocked."""
        return not self._direction(one, other).blocks and not self._direction(other, one).blocks

    def heal(self) -> None:
        """Remove all faults."""
        self.weather = Weather()
        for direction in self._directions.values():
            direction.blocks = 0
            direction.slowness = 1.0

    def send(self, sender: str, receiver: str, payload: bytes, deliver: Deliver, may_double: bool) -> None:
        """Send a frame, which may be lost."""
        direction = self._direction(sender, receiver)
        weather, random = self.weather, direction.random
        if direction.blocks or (weather.loss and random.random() < weather.loss):
            self.dropped += 1
            return
        pair = _pair(sender, receiver)
        session = self._sessions.get(pair, 0)
        forgotten = self._forgotten.get((sender, receiver), 0)

        def arrive() -> None:
            is_lost = forgotten != self._forgotten.get((sender, receiver), 0)
            if session == self._sessions.get(pair, 0) and not is_lost:
                deliver(sender, payload)

        copies = 2 if may_double and weather.duplication and random.random() < weather.duplication else 1
        for _ in range(copies):
            delay = random.uniform(weather.delay_max_s / 10, weather.delay_max_s) * direction.slowness
            if weather.reordering and random.random() < weather.reordering:
                delay *= random.uniform(1, 10)
            self._scheduler.after(delay, arrive)

    def _direction(self, sender: str, receiver: str) -> _Direction:
        direction = self._directions.get((sender, receiver))
        if direction is None:
            direction = _Direction(Random(f"link {self._seed} {sender} {receiver}"))
            self._directions[sender, receiver] = direction
        return direction


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
