"""`FailureDetector`: whom this observer doubts, by when heartbeats last grew as seen from here.

A node is doubted when its heartbeat has not grown for `suspect_after_s`. News need some rounds to reach everybody, a
number that grows with the logarithm of the ring, and so does the wait. A link that was refused or reset is strong
evidence: it shortens the wait to `evidence_wait_s`, for as long as one full wait, or until the link stands again. It is
no proof, and alone it never makes a doubt: a node whose links break, but whose heartbeat goes on growing, is alive. The
evidence outlasts a growth, because the last news of a killed node may still be on their way through others.

A doubt ends with the next growth. Doubting is all that happens here; whether a doubted node counts as down is decided
together with other observers, in `gossip`.

An observer that stood still itself (stopped, swapped out, in a debugger) has heard nothing because it did not listen.
When it notices, by the gap since it last looked, all waits begin anew, and evidence is not believed for one wait:
on waking, it finds every link closed by the others.

Source: van Renesse et al. (1998), section 3; Dadgar, Phillips, Currey, "Lifeguard" (2018), on observers that should
doubt themselves first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log2


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How long this observer waits, in seconds.

    The full wait is `suspect_base_s` plus `suspect_per_doubling_s` for every doubling of the ring. A gap longer than
    `own_gap_s` since it last looked means that the observer stood still; it must be longer than a gossip round.
    """

    suspect_base_s: float = 1.25
    suspect_per_doubling_s: float = 0.25
    evidence_wait_s: float = 0.6
    own_gap_s: float = 1.0

    @classmethod
    def for_interval(cls, interval_s: float) -> "DetectorSettings":
        """Return settings for another gossip round than the half second the defaults are made for."""
        factor = interval_s / 0.5
        usual = cls()
        return cls(
            usual.suspect_base_s * factor,
            usual.suspect_per_doubling_s * factor,
            usual.evidence_wait_s * factor,
            usual.own_gap_s * factor,
        )

    def suspect_after_s(self, nodes: int) -> float:
        """Return how long a heartbeat may stand still in a ring of that many nodes."""
        return self.suspect_base_s + self.suspect_per_doubling_s * log2(max(nodes, 2))


class FailureDetector:
    """The doubts of one observer about the other nodes. Times are the caller's monotonic seconds."""

    def __init__(self, settings: DetectorSettings, nodes: Iterable[str], now: float) -> None:
        self._settings = settings
        self._looked_at = now
        self._evidence_from = now
        # Every node is in one of the two. Whose heartbeat grew longest ago, and who is doubted longest, comes first.
        self._grew_at: dict[str, float] = {}
        self._doubted: dict[str, None] = {}
        self._evidence_at: dict[str, float] = {}
        self.suspect_after_s = 0.0
        self.follow(nodes, now)

    @property
    def doubted(self) -> list[str]:
        """The nodes doubted now, the longest doubted first."""
        return list(self._doubted)

    def doubts(self, node: str) -> bool:
        """Tell whether this observer doubts a node."""
        return node in self._doubted

    def doubts_all(self) -> bool:
        """Tell whether this observer doubts everybody."""
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
        """Note that this observer is awake; to be called before anything else that happens at `now`."""
        if now - self._looked_at > self._settings.own_gap_s:
            self._grew_at = dict.fromkeys(self._grew_at, now)
            self._evidence_at.clear()
            self._evidence_from = now + self.suspect_after_s
        self._looked_at = now

    def grew(self, nodes: Iterable[str], now: float) -> None:
        """Learn whose heartbeat grew: that ends a doubt, and the wait begins anew."""
        grew_at, doubted = self._grew_at, self._doubted
        for node in nodes:
            if node in doubted:
                del doubted[node]
            else:
                del grew_at[node]  # to stand last
            grew_at[node] = now

    def evidence(self, node: str, now: float) -> None:
        """Learn that a link to a node was refused or reset."""
        if node in self._grew_at and now >= self._evidence_from:
            self._evidence_at[node] = now

    def linked(self, node: str, now: float) -> None:
        """Learn that a node has just greeted on a new link: that withdraws the evidence, and ends a doubt.

        A process that hangs cannot greet. Should it hang from now on, its heartbeat tells after a full wait.
        """
        self._evidence_at.pop(node, None)
        if node in self._doubted:
            self.grew([node], now)

    def newly_doubted(self, now: float) -> list[str]:
        """Return whose wait has ended since this was last asked; from now on they are doubted."""
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
