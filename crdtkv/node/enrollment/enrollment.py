"""`Enrollment`: whether a node counts. The topology document decides this, and the node itself proposes the change.

The document names, for every node, the incarnation of its disk. If a node's own incarnation differs, its disk was
wiped, restored, damaged or swapped, or the node has detected a loss: writes that it once acknowledged may be gone.
Until the document names the new incarnation, the node is *quarantined*: it serves no requests, because others would
count its answers. It enters itself as a *learner*, by compare-and-set; from then on it takes writes and counts in no
quorum. A learner compares all its partitions with every other replica, in anti-entropy sessions, and merges the entries
it lacks. When all sessions are done it holds everything that was acknowledged before, and enters itself as a member.

A node without an incarnation in the document, at the first start of a cluster, enters its incarnation and counts at
once, unless its disk replaces an earlier one: the bucket may be lost, and the document be that of a first start
although the cluster is old. The disk itself may know that, or another node remembers another incarnation of this node.
So the node waits until another node has sent its row about this node, but not longer than `HEARSAY_S`.

A node without other replicas cannot learn from any. It counts again at once, and so does one that has learned from
learners only; but the data they lack must come from other data centers (`geo.anti_entropy`).

A restored copy of a whole data directory has the right incarnation, and only other nodes remember that it has been
started more often since. The host reads the topology bucket before it starts the core. If it could not, the node waits
until another node has sent its row about this node before it serves, but not longer than `HEARSAY_S`.

A node whose address differs from the document enters its own address; no other node changes it. Two processes of the
same name would each find the other's incarnation in the document, and enter itself again. They do so slowly, and a
process that is replaced `USURPED_MAX` times in `USURPED_WITHIN_S` stops. (Before the start, the host checks whether
another process of its name answers.)
"""

from dataclasses import replace
from typing import NamedTuple

from crdtkv.node.kernel.effects import Proposal
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.membership.member import Member
from crdtkv.node.repair.anti_entropy import AntiEntropy
from crdtkv.node.replica.comparison_marks import EXCHANGE, ComparisonMarks
from crdtkv.node.replica.replica import Replica
from crdtkv.storage import rows
from crdtkv.storage.store import Store

PROPOSE_EVERY_S = 1.0
HEARSAY_S = 2.0
USURPED_MAX = 5
USURPED_WITHIN_S = 60.0


class Disk(NamedTuple):
    """What the host knows of the disk (`NodeSettings`)."""

    is_checked: bool
    is_replacement: bool


class Enrollment:
    """The place of one node in the topology document."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        store: Store,
        anti_entropy: AntiEntropy,
        marks: ComparisonMarks,
        disk: Disk,
        address: tuple[str, int],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._store = store
        self._anti_entropy = anti_entropy
        self._marks = marks
        self._incarnation = f"{replica.incarnation:016x}"
        self._host, self._port = address
        #: Whether this node learns from a learner, or from no node: data that both should hold may be lost here.
        self._learned_from_learners = False
        self._was_entered = self._known_incarnation() == self._incarnation
        self._usurped_at: list[float] = []
        self._propose_at = 0.0
        self._learning_from: list[str] | None = None
        self._was_learner = False
        self._epoch = kernel.cluster.epoch
        self._is_replacement = disk.is_replacement
        self._waits_until: float | None = None
        is_first_document = not self._known_incarnation()
        if (not disk.is_checked or is_first_document) and len(kernel.cluster.ring.topology.nodes) > 1:
            self._waits_until = kernel.step.now.monotonic_s + HEARSAY_S
        self._judge()

    @property
    def state(self) -> str:
        """The state of this node for operators: `member`, `learner` or `quarantined`."""
        if self._cluster.is_quarantined:
            return "quarantined"
        return "learner" if self._was_learner else "member"

    @property
    def may_lack_data(self) -> bool:
        """Whether this node learns from nodes that may have lost the same data."""
        return self._learned_from_learners

    def remembered(self, member: Member | None) -> None:
        """Handle the row that others have of this node, None if they have none that is later than its own.

        A later row with this incarnation proves that the disk is an older copy: the node takes a new incarnation.
        """
        if member is not None:
            # Later starts count from this generation, so that other nodes do not take them for an earlier one.
            self._store.put(rows.STARTS, (member.generation + 1).to_bytes(8, "big"))
            self._is_replacement = True
            if member.incarnation == self._replica.incarnation:
                self._replica.renew_incarnation(f"others remember start {member.generation} of this very disk")
                self.new_incarnation(self._replica.incarnation)
        self._waits_until = None
        self._judge()

    def new_incarnation(self, incarnation: int) -> None:
        """Take another incarnation, because this node has lost data."""
        self._incarnation = f"{incarnation:016x}"
        self._is_replacement = True
        self._was_entered = False
        self._learning_from = None
        self._judge()

    def next_timer(self) -> float | None:
        """Return when work is due, None if it waits for an event."""
        due_s = max(self._propose_at, self._waits_until or 0.0)
        if self._cluster.is_quarantined:
            return due_s
        # A learner continues at the end of an exchange, which is an event; or repeats a proposal without an answer.
        is_pending = self._was_learner and self._propose_at > self._step.now.monotonic_s
        return due_s if is_pending or self._has_moved() else None

    def run_due(self) -> None:
        """Follow the document, and propose a change if one is due; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if self._waits_until is not None and now_s >= self._waits_until:
            self._waits_until = None
        if self._epoch != self._cluster.epoch:
            self._epoch = self._cluster.epoch
            # Another node changed it first: propose again, but with a pause if that was a process of the same name.
            self._propose_at = now_s + PROPOSE_EVERY_S if self._is_usurped() else 0.0
            self._judge()
        elif self._cluster.is_quarantined:
            self._judge()
        elif not self._was_learner and not self._has_moved():
            return
        if now_s < self._propose_at or self._waits_until is not None:
            return
        if self._cluster.is_quarantined:
            known = self._known_incarnation()
            self._enter(is_learner=known != self._incarnation and (bool(known) or self._is_replacement))
        elif self._has_moved():
            self._enter(is_learner=self._was_learner)
        elif self._was_learner:
            self._learn()

    def _has_moved(self) -> bool:
        """Return whether the document has another address for this node."""
        mine = self._cluster.ring.topology.node(self._cluster.node)
        return mine is not None and (mine.host, mine.port) != (self._host, self._port)

    def _is_usurped(self) -> bool:
        """Return whether the document names another incarnation in place of this one; stop if that recurs often."""
        known, now_s = self._known_incarnation(), self._step.now.monotonic_s
        is_usurped = self._was_entered and known not in ("", self._incarnation)
        self._was_entered = known == self._incarnation
        if is_usurped:
            self._usurped_at = [at_s for at_s in self._usurped_at if at_s > now_s - USURPED_WITHIN_S] + [now_s]
            if len(self._usurped_at) >= USURPED_MAX:
                self._step.effects.stop = (
                    f"another process enters itself as {self._cluster.node}, last with the incarnation {known}: "
                    "stop one of the two, or rename it"
                )
        return is_usurped

    def _judge(self) -> None:
        step = self._step
        is_known = self._known_incarnation() == self._incarnation
        self._cluster.is_quarantined = not is_known or self._waits_until is not None
        node = self._cluster.ring.topology.node(self._cluster.node)
        is_learner = node is not None and node.is_learner
        if is_learner != self._was_learner:
            self._was_learner = is_learner
            step.stats.count("learners_began" if is_learner else "learners_promoted")

    def _learn(self) -> None:
        """Run one anti-entropy session with every other replica; then enter this node as a member."""
        peers = self._anti_entropy.peers
        if not peers or not self._cluster.ring.learners.isdisjoint(peers):
            self._learned_from_learners = True
        if self._learning_from != peers:
            self._learning_from = peers
            for peer in peers:
                self._anti_entropy.begin_full_comparison(peer)
        elif not self._anti_entropy.full_comparisons:
            if self._learned_from_learners:
                self._learned_from_learners = False
                self._marks.set_all(EXCHANGE)
            self._enter(is_learner=False)

    def _enter(self, is_learner: bool) -> None:
        self._propose_at = self._step.now.monotonic_s + PROPOSE_EVERY_S
        known = self._cluster.ring.topology
        mine = known.node(self._cluster.node)
        if mine is None:
            return
        entered = replace(mine, host=self._host, port=self._port, incarnation=self._incarnation, is_learner=is_learner)
        if is_learner and not mine.is_learner:
            self._step.effects.notes.append("the topology document names another disk: entering as a learner")
            # The last disk that counted: nodes with an older document know this one (`ring.agreement`).
            entered = replace(entered, replaces=mine.incarnation)
        self._step.effects.held_proposal = Proposal(known, known.with_node(entered))

    def _known_incarnation(self) -> str:
        node = self._cluster.ring.topology.node(self._cluster.node)
        return node.incarnation if node is not None else ""
