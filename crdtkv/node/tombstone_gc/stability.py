"""`Stability`: whether, as far as this node can tell, nothing older than a tombstone can come back.

A tombstone may be forgotten when everything it has seen is gone for good: *causal stability*. No node can tell alone,
so all nodes of the ring are asked, alive or not, and a tombstone that one of them cannot vouch for stays.

A node *agrees* to a tombstone when

- it is a home replica, and holds exactly these bytes, on disk, for at least `gc_grace_s` of its own wall clock, without
  a dot of the name it writes under now (`write_actor`), and without an outbox row for the key;
- or it is none, and stores nothing under the key;
- and it keeps no hint for the key, carries its entry in no call, counts as a member, knows of no learner among the
  home replicas, and knows that all other data centers have the tombstone, too.

Older versions may still be on their way, in messages, or in calls of nodes that had not been asked yet. So agreeing is
only the beginning: the tombstone is *settled* when the node has agreed to it for `settle_s`, longer than any request
and then any message lives, and kept no hint for the key meanwhile. Let all nodes be settled at one time. Then,
`settle_s` before, all home replicas held the tombstone and nobody kept a hint, so from then on nobody could read
anything older: calls that had, have ended since, and what they sent has arrived, at replicas that have seen more, or
never will.

Whoever agrees will stamp nothing at or below what the tombstone carries, so a new write of an `lww` key that knows
nothing of the tombstone wins against it as it would have, had it known.

Agreements are kept in memory, under one ring epoch: a restart, or a change of the ring, begins anew.

Source: Baquero, Almeida, Shoker, "Pure operation-based CRDTs" (2014), section 5 (causal stability).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from crdtkv.causality.hybrid_clock import HybridTimestamp, from_wall_ms
from crdtkv.errors import ProtocolError
from crdtkv.hashing import DIGEST_BYTES
from crdtkv.node.handoff.hints import Hints
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.node.replica.tombstones import Noted
from crdtkv.ring.token import token_in

#: Longer than any request (10 minutes) and any message between two nodes of a data center together.
SETTLE_MAX_S = 900.0
#: Past this the oldest agreement is given up; its tombstone settles later.
AGREEMENTS_MAX = 50_000

#: Asked for a storage key: whether every other data center is known to hold its tombstone, too.
StableElsewhere = Callable[[bytes], bool]


class Question(NamedTuple):
    """A tombstone that may go: the digest of its bytes, and the timestamp it carries."""

    storage_key: bytes
    digest: bytes
    newest: HybridTimestamp


class Stability:
    """What one node vouches for."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        hints: Hints,
        outbox: Outbox,
        gc_grace_s: float,
        is_stable_elsewhere: StableElsewhere,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._replica = replica
        self._hints = hints
        self._outbox = outbox
        self._gc_grace_ms = int(gc_grace_s * 1000)
        self.settle_s = min(gc_grace_s, SETTLE_MAX_S)
        self.is_stable_elsewhere = is_stable_elsewhere
        #: Whether a tombstone was refused because it names dots of the name this node writes under.
        self.needs_new_actor = False
        self._since: dict[bytes, tuple[bytes, float]] = {}
        self._of_epoch = kernel.cluster.epoch
        hints.on_kept = self._hint_kept

    def judge(self, questions: Sequence[Question]) -> tuple[list[bytes], list[bytes]]:
        """Return the keys to which this node agrees: those that are settled, and those that are not yet."""
        if self._of_epoch != self._cluster.epoch:
            self._of_epoch = self._cluster.epoch
            self._since = {}
        settled: list[bytes] = []
        agreed: list[bytes] = []
        carried = self._calls.storage_keys()
        now_s = self._step.now.monotonic_s
        for question in questions:
            storage_key, digest, newest = question
            known = self._since.get(storage_key)
            is_new = known is None or known[0] != digest
            if not self._agrees(question) or (is_new and storage_key in carried):
                self._since.pop(storage_key, None)
                continue
            if known is not None and not is_new:
                (settled if now_s - known[1] >= self.settle_s else agreed).append(storage_key)
                continue
            self._since.pop(storage_key, None)
            self._since[storage_key] = (digest, now_s)
            self._replica.stay_above(newest)
            agreed.append(storage_key)
            if len(self._since) > AGREEMENTS_MAX:
                del self._since[next(iter(self._since))]
        return settled, agreed

    def dropped(self, storage_key: bytes) -> None:
        """Forget a key whose tombstone is gone."""
        self._since.pop(storage_key, None)

    def has_passed_since(self, wall_ms: int) -> bool:
        """Tell whether the time of grace has passed since then."""
        return self._step.now.wall_ms - wall_ms >= self._gc_grace_ms

    def is_old_enough(self, storage_key: bytes, noted: Noted) -> bool:
        """Tell whether a tombstone has had its grace; one that was noted in the future begins to have it now."""
        if noted.noted_ms > self._step.now.wall_ms:
            self._replica.tombstones.note_again(storage_key, noted, self._step.now.wall_ms)
            return False
        return self.has_passed_since(max(noted.noted_ms, noted.over_ms))

    def _agrees(self, question: Question) -> bool:
        storage_key, digest, newest = question
        step = self._step
        homes = self._cluster.ring.replicas_at(token_in(storage_key))
        if self._cluster.is_quarantined or not self._cluster.ring.learners.isdisjoint(homes):
            return False
        if newest > from_wall_ms(step.now.wall_ms) or self._hints.has(storage_key):
            return False
        if self._cluster.node not in homes:
            return self._replica.entry(storage_key) is None
        return self._holds(storage_key, digest) and self.is_stable_elsewhere(storage_key)

    def _holds(self, storage_key: bytes, digest: bytes) -> bool:
        """Tell whether this replica could drop the tombstone."""
        replica = self._replica
        noted = replica.tombstones.get(storage_key)
        if noted is None or noted.digest != digest or not replica.commits.is_durable(storage_key):
            return False
        if not self.is_old_enough(storage_key, noted) or self._outbox.waits_with(storage_key):
            return False
        return not self._names_own_dots(storage_key)

    def _names_own_dots(self, storage_key: bytes) -> bool:
        """Tell whether this node could not drop the tombstone without forgetting how far it has counted."""
        entry = self._replica.entry(storage_key)
        names = entry is not None and entry.context.highest(self._replica.actor) > 0
        self.needs_new_actor = self.needs_new_actor or names
        return names

    def _hint_kept(self, storage_key: bytes) -> None:
        """Take back an agreement: something of the key was kept for a node that may have missed it."""
        self._since.pop(storage_key, None)


def parsed_questions(tombstones: list[object]) -> list[Question]:
    """Check what another node asks.

    Raises:
        ProtocolError: these are no tombstones.
    """
    questions: list[Question] = []
    for item in tombstones:
        match item:
            case [bytes() as storage_key, bytes() as digest, int() as newest] if len(digest) == DIGEST_BYTES:
                questions.append(Question(storage_key, digest, newest))
            case _:
                raise ProtocolError("a tombstone is [storage key, 16 bytes, timestamp]")
    return questions
