"""How badly the simulated world behaves. Drawn from the seed, with a chance that each fault is off entirely."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities per message or per second, and delays in seconds. All zero is a perfect world."""

    delay_min_s: float = 0.0002
    delay_max_s: float = 0.002
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    fsync_max_s: float = 0.002
    crashes_per_s: float = 0.0
    cuts_per_s: float = 0.0
    bus_outages_per_s: float = 0.0
    stream_wipes_per_s: float = 0.0
    clock_skew_s: float = 0.0

    @classmethod
    def draw(cls, random: Random) -> "Faults":
        """Draw a plan."""

        def maybe(high: float) -> float:
            return random.uniform(0, high) if random.random() < 0.6 else 0.0

        delay = random.choice([0.001, 0.01, 0.1])
        return cls(
            delay_min_s=delay / 10,
            delay_max_s=delay,
            loss=maybe(0.1),
            duplication=maybe(0.1),
            reordering=maybe(0.3),
            fsync_max_s=random.choice([0.001, 0.05, 0.5]),
            crashes_per_s=maybe(2.0),
            cuts_per_s=maybe(1.0),
            bus_outages_per_s=maybe(0.5),
            stream_wipes_per_s=maybe(0.3),
            clock_skew_s=maybe(3600),
        )
