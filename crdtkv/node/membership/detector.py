"""`FailureDetector`: the nodes that this observer suspects, by the time since their heartbeats grew.

A node is suspected when its heartbeat has not grown for `suspect_after_s`. News need several rounds to reach every
node, a number that grows with the logarithm of the ring, and so does the wait. A refused or reset link is strong
evidence: it shortens the wait to `evidence_wait_s`, for the duration of one full wait, or until the link is established
again. It is no proof, and never causes a suspicion alone: a node whose links break, but whose heartbeat grows, is
alive. The evidence stays valid when the heartbeat grows, because the last news of a killed node may still arrive
through others.

A suspicion ends with the next growth. This class only suspects; `gossip` combines the suspicions of several observers
to decide whether a node is down.

An observer that was paused itself (stopped, swapped out, in a debugger) has received nothing during the pause. When it
detects this, by the gap since its last call of `look`, all waits begin again, and it ignores evidence for one wait: the
other nodes have closed all its links in the meantime.

Source: van Renesse et al. (1998), section 3; Dadgar, Phillips, Currey, "Lifeguard" (2018), on observers that should
suspect themselves first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log2


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """The waits of this observer, in seconds.

    The full wait is `suspect_base_s` plus `suspect_per_doubling_s` for every doubling of the ring. A gap longer than
    `own_gap_s` since the last call of `look` means that the observer was paused; it must be longer than a gossip round.
    """

    suspect_base_s: float = 1.25
    suspect_per_doubling_s: float = 0.25
    evidence_wait_s: float = 0.6
    own_gap_s: float = 1.0

    @classmethod
    def for_interval(cls, interval_s: float) -> "DetectorSettings":
        """Return the settings for a gossip interval; the defaults are for half a second."""
        factor = interval_s / 0.5
        usual = cls()
        return cls(
            usual.suspect_base_s * factor,
            usual.suspect_per_doubling_s * factor,
            usual.evidence_wait_s * factor,
            usual.own_gap_s * factor,
        )

    def suspect_after_s(self, nodes: int) -> float:
        """Return how long a heartbeat may stay the same in a ring of that many nodes."""
        return self.suspect_base_s + self.suspect_per_doubling_s * log2(max(nodes, 2))


class FailureDetector:
    """The suspicions of one observer about the other nodes. Times are the caller's monotonic seconds."""

    def __init__(self, settings: DetectorSettings, nodes: Iterable[str], now: float) -> None:
        self._settings = settings
        self._looked_at = now
        self._evidence_from = now
        # Every node is in one of the two, ordered by the time of the last growth, and of the suspicion.
        self._grew_at: dict[str, float] = {}
        self._doubted: dict[str, None] = {}
        self._evidence_at: dict[str, float] = {}
        self.suspect_after_s = 0.0
        self.follow(nodes, now)

    @property
    def doubted(self) -> list[str]:
        """The suspected nodes, the longest suspected first."""
        return list(self._doubted)

    def doubts(self, node: str) -> bool:
        """Return whether this observer suspects a node."""
        return node in self._doubted

    def doubts_all(self) -> bool:
        """Return whether this observer suspects all other nodes."""
        return not self._grew_at

    def follow(self, nodes: Iterable[str], now: float) -> None:
        """Watch these nodes; those that are new get a full wait."""
        staying = set(nodes)
        self.suspect_after_s = self._settings.suspect_after_s(len(staying) + 1)
        self._doubted = {node: None for node in self._doubted if node in staying}
        self._evidence_at = {node: at for node, at in self._evidence_at.items() if node in staying}
        grew_at = {node: at for node, at in self._grew_at.items() if node in staying}
        new = sorted(staying - grew_at.keys() - self._doubted.keys())
        self._grew_at = grew_at | dict.fromkeys(new, now)

    def look(self, now: float) -> None:
        """Note that this observer is running; call it before any other method at `now`."""
        if now - self._looked_at > self._settings.own_gap_s:
            self._grew_at = dict.fromkeys(self._grew_at, now)
            self._evidence_at.clear()
            self._evidence_from = now + self.suspect_after_s
        self._looked_at = now

    def grew(self, nodes: Iterable[str], now: float) -> None:
        """Note that the heartbeats of nodes grew: that ends a suspicion, and the wait begins again."""
        grew_at, doubted = self._grew_at, self._doubted
        for node in nodes:
            if node in doubted:
                del doubted[node]
            else:
                del grew_at[node]  # so that it is inserted last
            grew_at[node] = now

    def evidence(self, node: str, now: float) -> None:
        """Note that a link to a node was refused or reset."""
        if node in self._grew_at and now >= self._evidence_from:
            self._evidence_at[node] = now

    def linked(self, node: str, now: float) -> None:
        """Note that a node has greeted on a new link: that withdraws the evidence, and ends a suspicion.

        A hanging process cannot greet. If it hangs from now on, its heartbeat shows that after a full wait.
        """
        self._evidence_at.pop(node, None)
        if node in self._doubted:
            self.grew([node], now)

    def newly_doubted(self, now: float) -> list[str]:
        """Return the nodes whose wait has ended since the last call; from now on they are suspected."""
        late: list[str] = []
        for node, grew_at in self._grew_at.items():
            if now - grew_at < self.suspect_after_s:
                break
            late.append(node)
        if self._evidence_at:
            late += [node for node in self._late_by_evidence(now) if node not in late]
        for node in late:
            del self._grew_at[node]
            self._doubted[node] = None
        return late

    def _late_by_evidence(self, now: float) -> list[str]:
        waits = self._evidence_at.items()
        self._evidence_at = {node: at for node, at in waits if now - at < self.suspect_after_s}
        wait_s = self._settings.evidence_wait_s
        return [node for node in self._evidence_at if now - self._grew_at.get(node, now) >= wait_s]
