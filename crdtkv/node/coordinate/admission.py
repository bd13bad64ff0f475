"""`Admission`: decides which requests of clients a node begins in a step, which wait, and which it refuses.

A step first handles the messages of other nodes, because they end requests in progress. Then it begins requests of
clients, in the order of arrival, up to a budget; the others wait for the next step. So a step stays short however many
requests have arrived, and heartbeats, gossip and acknowledgements are handled in between. The budget follows the
measured duration of steps, because the cost of a request depends on the size of the value, which is not known before.

A request is refused on arrival if the requests before it will take longer than `QUEUE_MAX_S`, estimated from the last
steps. An early refusal is cheap, and the client can still act on it. In a queue of a second, all answers would come too
late to be useful.

Source: Nichols and Jacobson, "Controlling Queue Delay" (2012), for judging a queue by its delay, not by its length;
Welsh and Culler, "Adaptive Overload Control for Busy Internet Servers" (2003).
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from crdtkv.errors import Overloaded
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.quorum.level import ONE
from crdtkv.wire.messages import ErrorReply, GetRequest, Message, MutateRequest, ScanRequest, WaitRequest

#: The cost of one request in units of about ten microseconds; a read that one replica answers is one unit.
WRITE_UNITS = 20
QUORUM_READ_UNITS = 6
SCAN_UNITS = 100
#: The bounds of the budget of a step, in units. Between them the budget follows the duration of steps.
BUDGET_MAX = 4_000
BUDGET_MIN = WRITE_UNITS
STEP_LONG_S = 0.05
STEP_SHORT_S = 0.02
#: The longest wait of a request; and the units that may always wait, because they are no more than a step or two.
QUEUE_MAX_S = 0.25
ALWAYS_UNITS = 2 * BUDGET_MAX
#: The most requests that are skipped in a step because their clients have reached their limit of answers.
PASSED_OVER_MAX = 1_000
#: The most units that may wait, whatever the estimated delay.
UNITS_MAX = 100 * BUDGET_MAX

ADMITTED = (GetRequest, MutateRequest, ScanRequest, WaitRequest)
_ONE = ONE.to_wire()


class Admission:
    """The requests that wait to begin; `begin` maps a message type to its handler."""

    def __init__(self, kernel: Kernel, begin: Mapping[type, Callable[[Peer, Any], None]]) -> None:
        self._step = kernel.step
        self._begin = begin
        self._waiting: deque[tuple[Peer, Any, int, float]] = deque()
        self._units = 0
        self._budget = BUDGET_MAX
        #: Units per second that were begun lately while requests waited, None if none ever waited.
        self._rate: float | None = None
        self._began_at = 0.0
        self._begun_units = 0

    def __len__(self) -> int:
        """Return the number of waiting requests."""
        return len(self._waiting)

    @property
    def delay_s(self) -> float:
        """The estimated wait of a request that arrives now, from the last steps."""
        return self._units / self._rate if self._rate else 0.0

    def arrived(self, peer: Peer, request: Message) -> None:
        """Queue a request, or refuse it."""
        units = _units_of(request)
        if self._units >= ALWAYS_UNITS and (self._units >= UNITS_MAX or self.delay_s > QUEUE_MAX_S):
            self._refuse(peer, request)
            return
        self._units += units
        self._waiting.append((peer, request, units, self._step.now.monotonic_s))

    def forget(self, peer: Peer) -> None:
        """Drop the waiting requests of a client that has disconnected."""
        kept = [item for item in self._waiting if item[0] != peer]
        if len(kept) != len(self._waiting):
            self._waiting = deque(kept)
            self._units = sum(item[2] for item in kept)

    def run_due(self) -> None:
        """Begin requests up to the budget; called once per step, after the messages of other nodes."""
        self._learn()
        left = self._budget
        passed_over: list[tuple[Peer, Any, int, float]] = []
        while self._waiting and left > 0 and len(passed_over) < PASSED_OVER_MAX:
            item = self._waiting.popleft()
            peer, request, units, arrived_s = item
            if not self._step.effects.has_room_for(peer):
                passed_over.append(item)  # this client has reached its limit of answers in this step
                continue
            self._units -= units
            left -= units
            self._step.arrived_s = arrived_s
            self._begin[type(request)](peer, request)
        self._waiting.extendleft(reversed(passed_over))
        self._begun_units = self._budget - left

    def next_timer(self) -> float | None:
        """Return the time of the next step for waiting requests: now; None if none wait."""
        return self._step.now.monotonic_s if self._waiting else None

    def _learn(self) -> None:
        """Update rate and budget from the previous step; the rate only if requests were waiting since then."""
        now_s, _, last_step_s = self._step.now
        since_s, self._began_at = now_s - self._began_at, now_s
        has_waited = bool(self._waiting) and self._waiting[0][3] < now_s
        if has_waited and self._begun_units and since_s > 0:
            rate = self._begun_units / since_s
            self._rate = rate if self._rate is None else 0.8 * self._rate + 0.2 * rate
        if last_step_s > STEP_LONG_S and self._begun_units:
            self._budget = max(BUDGET_MIN, min(self._budget, self._begun_units) // 2)
        elif last_step_s < STEP_SHORT_S:
            self._budget = min(BUDGET_MAX, self._budget + self._budget // 4 + 1)

    def _refuse(self, peer: Peer, request: Any) -> None:
        step = self._step
        retry_after_ms = max(50, round(self.delay_s * 1000))
        error = Overloaded("the node has more requests than it can begin in time: back off and retry", retry_after_ms)
        count = len(request.identities) if isinstance(request, GetRequest) else 1
        step.stats.count("requests_refused", count)
        for number in range(request.id, request.id + count):
            step.effects.send(peer, ErrorReply(number, error.code, list(error.fields)))


def _units_of(request: Message) -> int:
    if isinstance(request, GetRequest):
        return len(request.identities) * (1 if request.level == _ONE else QUORUM_READ_UNITS)
    return SCAN_UNITS if isinstance(request, ScanRequest) else WRITE_UNITS
