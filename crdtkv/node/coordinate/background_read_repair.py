"""`BackgroundReadRepair`: read repair after reads that ask one replica only.

A read at `ONE` that this node answers from its own entry does not compare the other replicas. A share of these reads
(`repair.read_share`) is followed by a read of all live replicas, which writes back to those that lack something; no
client waits for it or sees its result. Anti-entropy finds all differences in the end; this finds those of keys that are
read, sooner.

The original reads cost one subtraction per group that is answered together, because only the number of reads until the
next followed one is drawn. But a read of all replicas costs as much as fifteen reads of one, so a node that serves tens
of thousands per second follows fewer than the share: one per `PAUSE_S`. None is followed where it would add to a queue:
beyond `AT_ONCE_MAX`, or while the table of calls is more than half full.
"""

import math
from collections.abc import Sequence
from random import Random

from crdtkv.errors import CrdtkvError
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls

AT_ONCE_MAX = 64
#: The shortest time between two background reads.
PAUSE_S = 0.02
TIMEOUT_S = 2.0


class BackgroundReadRepair:
    """Background read repair of one node."""

    def __init__(
        self,
        kernel: Kernel,
        keys: KeyCheck,
        quorum_calls: QuorumCalls,
        random: Random,
        share: float,
        calls_max: int,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._keys = keys
        self._quorum_calls = quorum_calls
        self._random = random
        self._share = share
        self._calls_max = calls_max
        self._under_way = 0
        self._next_at = 0.0
        #: The number of reads until the next one that is followed.
        self._left = self._gap()

    def answered(self, identities: Sequence[object], first: int, count: int) -> None:
        """Count `count` reads, of `identities[first]` and those after it, that this node alone has answered."""
        self._left -= count
        while self._left < 0:
            self._follow(identities[first + count + int(self._left)])
            self._left += 1 + self._gap()

    def _gap(self) -> float:
        if self._share <= 0:
            return math.inf
        if self._share >= 1:
            return 0
        return int(math.log(1 - self._random.random()) / math.log(1 - self._share))

    def _follow(self, identity: object) -> None:
        step, now_s = self._step, self._step.now.monotonic_s
        if now_s < self._next_at or self._under_way >= AT_ONCE_MAX or len(self._calls) > self._calls_max // 2:
            return
        key = self._keys.from_client(identity)
        responsibles = self._cluster.responsibles(key.token, is_sloppy=False)
        counted = sum(responsible.is_counted for responsible in responsibles)
        if counted < 2:
            return
        step.stats.count("background_reads")
        self._next_at = now_s + PAUSE_S
        self._under_way += 1
        self._quorum_calls.read(key, responsibles, counted, now_s + TIMEOUT_S, self._compared, self._gave_up)

    def _compared(self, _: bytes | None, __: bool) -> None:
        self._under_way -= 1

    def _gave_up(self, _: CrdtkvError) -> None:
        self._under_way -= 1
