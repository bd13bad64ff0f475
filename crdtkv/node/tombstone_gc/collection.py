"""`Collection`: collects tombstones when every node of the data center agrees.

The first home replica of a key is its collector. Every interval it reads on in its notes of tombstones, records those
that are old enough as *candidates*, and asks all nodes of the ring about them; not only the home replicas, because any
node may store a hint. When all answer that a tombstone is settled (`stability`), the other home replicas get the
request to drop it. The collector drops its own copy last, when all others have: if one of them missed the request, the
tombstone is still here, anti-entropy brings it back to the others, and it is collected in a later round.

A node that is down is never left out: a tombstone waits for all nodes, and `waiting_for` names those without agreement.
Time alone never removes a tombstone.
"""

from collections.abc import Mapping
from typing import NamedTuple

from crdtkv.config.model import CollectionConfig
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.replica import Replica
from crdtkv.node.tombstone_gc.stability import Question, Stability, parsed_questions
from crdtkv.ring.token import token_in
from crdtkv.wire.messages import (
    DropTombstones,
    Message,
    TombstonesDropped,
    TombstonesReply,
    TombstonesRequest,
)

ROUND_TIMEOUT_S = 5.0
#: The most notes that a round reads, and the most candidates, as multiples of `batch_max`.
NOTES_A_ROUND = 10
CANDIDATES = 100
#: The shortest pause between rounds when more is due than one round asks about.
PAUSE_S = 1.0
#: The entry of `waiting_for` for tombstones that wait for other data centers.
ELSEWHERE = "other data centers"


class _Candidate(NamedTuple):
    """A tombstone whose collector is this node; `due_s` is the time of the next request about it."""

    question: Question
    due_s: float
    was_asked: bool


class Collection:
    """The rounds of one node, and its answers to those of others."""

    def __init__(self, kernel: Kernel, replica: Replica, stability: Stability, config: CollectionConfig) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._stability = stability
        self._config = config
        self._next_at = kernel.step.now.monotonic_s + config.interval_s
        self._is_asking = False
        self._note_alive_at = 0.0
        self._of_epoch = kernel.cluster.epoch
        self._behind = b""
        self._candidates: dict[bytes, _Candidate] = {}
        self._waiting_for: dict[str, int] = {}

    @property
    def snapshot(self) -> dict[str, object]:
        """The number of tombstones here, and the number of the last round that wait, by node; for `status`."""
        return {"rows": len(self._replica.tombstones), "waiting_for": dict(sorted(self._waiting_for.items()))}

    @property
    def is_asking(self) -> bool:
        """Whether a round is in flight."""
        return self._is_asking

    def next_timer(self) -> float | None:
        """Return when the next round is due."""
        return None if self._is_asking else self._next_at

    def run_due(self) -> None:
        """Begin a round, if it is time; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if self._is_asking or now_s < self._next_at:
            return
        self._next_at = now_s + self._config.interval_s
        if now_s >= self._note_alive_at:
            self._note_alive_at = now_s + max(self._config.interval_s, self._config.gc_grace_s / 4)
            self._replica.note_alive()
        self._renew_actor()
        if self._of_epoch != self._cluster.epoch:
            self._of_epoch = self._cluster.epoch
            self._candidates = {}
        kept_for_others = self._find_candidates(now_s)
        due = [candidate.question for candidate in self._candidates.values() if candidate.due_s <= now_s]
        if len(due) > self._config.batch_max:
            del due[self._config.batch_max :]
            self._next_at = min(self._next_at, now_s + PAUSE_S)
        if due:
            self._ask(due)
        else:
            self._waiting_for = {ELSEWHERE: kept_for_others} if kept_for_others else {}

    def asked(self, node: str, request: TombstonesRequest) -> None:
        """Answer with the tombstones to which this node agrees, when all that it has written is durable."""
        settled, agreed = self._stability.judge(parsed_questions(request.tombstones))
        self._step.effects.send_when_durable(node, TombstonesReply(request.id, list(settled), list(agreed)))

    def drop(self, node: str, request: DropTombstones) -> None:
        """Drop the tombstones that this node still judges as settled, and answer with their keys."""
        settled, _ = self._stability.judge(parsed_questions(request.tombstones))
        dropped: list[object] = []
        for storage_key in settled:
            if self._replica.entry(storage_key) is not None:
                self._drop(storage_key)
                dropped.append(storage_key)
        self._step.effects.send_when_durable(node, TombstonesDropped(request.id, dropped))

    def ended(self, questions: list[Question], answers: "Answers") -> None:
        """Handle the end of a round: drop tombstones that all others have dropped, and keep the other candidates."""
        self._is_asking = False
        self._waiting_for = answers.waiting_for
        now_s = self._step.now.monotonic_s
        final = [question for question in questions if question.storage_key in answers.dropped]
        for storage_key in self._stability.judge(final)[0]:
            self._drop(storage_key)
        for question in questions:
            candidate = self._candidates.pop(question.storage_key, None)
            if candidate is not None and question.storage_key in answers.agreed:
                pause_s = self._config.interval_s if candidate.was_asked else self._stability.settle_s
                self._candidates[question.storage_key] = _Candidate(question, now_s + pause_s, was_asked=True)

    def _ask(self, due: list[Question]) -> None:
        step = self._step
        absent = [node.name for node in self._cluster.ring.topology.nodes if not self._cluster.is_alive(node.name)]
        if absent:
            self._waiting_for = dict.fromkeys(absent, len(due))
            return
        step.stats.count("collection_rounds")
        self._is_asking = True
        others = [node.name for node in self._cluster.ring.topology.nodes if node.name != self._cluster.node]
        CollectionRound(self._kernel, self, due, others).start(*self._stability.judge(due))

    def _find_candidates(self, now_s: float) -> int:
        """Read on in the notes, in a circle; return how many are no candidates only because of other data centers."""
        kept_for_others = 0
        tombstones, batch_max = self._replica.tombstones, self._config.batch_max
        room = CANDIDATES * batch_max - len(self._candidates)
        limit = min(NOTES_A_ROUND * batch_max, room)
        if limit <= 0 or not len(tombstones):
            return 0
        page, is_last = tombstones.behind(self._behind, limit)
        self._behind = b"" if is_last else page[-1][0]
        for storage_key, noted in page:
            is_mine = self._cluster.ring.replicas_at(token_in(storage_key))[0] == self._cluster.node
            if not is_mine or storage_key in self._candidates or not self._stability.is_old_enough(storage_key, noted):
                continue
            if not self._stability.is_stable_elsewhere(storage_key):
                kept_for_others += 1
            else:
                entry = self._replica.entry(storage_key)
                assert entry is not None
                question = Question(storage_key, noted.digest, entry.state.newest())
                self._candidates[storage_key] = _Candidate(question, now_s, was_asked=False)
        return kept_for_others

    def _renew_actor(self) -> None:
        """Write under a new actor if tombstones wait for that, at most once per grace period."""
        renewed_ms = self._replica.actor_renewed_ms
        if not self._stability.needs_new_actor:
            return
        if renewed_ms > self._step.now.wall_ms or self._stability.has_passed_since(renewed_ms):
            self._stability.needs_new_actor = False
            self._replica.renew_actor()

    def _drop(self, storage_key: bytes) -> None:
        self._replica.drop(storage_key)
        self._stability.dropped(storage_key)


class Answers(NamedTuple):
    """The result of a round.

    `dropped` are the keys that all other home replicas have dropped, `agreed` the other keys to which all nodes agree.
    `waiting_for` is the number of tombstones without agreement, by node.
    """

    dropped: frozenset[bytes]
    agreed: frozenset[bytes]
    waiting_for: dict[str, int]


class CollectionRound(Call):
    """One round in flight: it asks all nodes, then requests the home replicas to drop the settled tombstones."""

    def __init__(self, kernel: Kernel, collection: Collection, questions: list[Question], others: list[str]) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._collection = collection
        self._questions = questions
        self._others = others
        self._number = 0
        self._waiting: set[str] = set()
        self._is_dropping = False
        #: By node: the keys that are settled there, and those that are settled or agreed to.
        self._settled: dict[str, frozenset[bytes]] = {}
        self._agreed: dict[str, frozenset[bytes]] = {}
        self._to_drop: dict[str, list[Question]] = {}
        self._dropped: dict[str, frozenset[bytes]] = {}

    def start(self, settled: list[bytes], agreed: list[bytes]) -> None:
        """Ask all other nodes about the tombstones to which this node agrees."""
        step = self._step
        self._settled[self._cluster.node] = frozenset(settled)
        self._agreed[self._cluster.node] = frozenset(settled + agreed)
        self._number = self._calls.add(self)
        asked = [question for question in self._questions if question.storage_key in self._agreed[self._cluster.node]]
        if not asked:
            self._end()
            return
        self._calls.set_timer(self._number, step.now.monotonic_s + ROUND_TIMEOUT_S, "deadline")
        self._waiting = set(self._others)
        for node in self._others:
            # This node's writes must be on its disk before it counts as agreed.
            step.effects.send_when_durable(node, TombstonesRequest(self._number, [list(one) for one in asked]))
        self._progress()

    def answered(self, replica: str, message: Message) -> None:
        """Note the agreement of a node, or the keys it has dropped."""
        if replica not in self._waiting:
            return
        if isinstance(message, TombstonesReply) and not self._is_dropping:
            self._settled[replica] = _keys(message.settled)
            self._agreed[replica] = self._settled[replica] | _keys(message.agreed)
        elif isinstance(message, TombstonesDropped) and self._is_dropping:
            self._dropped[replica] = _keys(message.dropped)
        else:
            return
        self._waiting.discard(replica)
        self._progress()

    def lost(self, replica: str) -> None:
        """End the round if a node without an answer is lost."""
        if replica in self._waiting:
            self._end()

    def timer(self, purpose: str) -> None:
        """End the round at its deadline."""
        self._end()

    def _progress(self) -> None:
        if self._waiting:
            return
        if self._is_dropping:
            self._end()
            return
        self._is_dropping = True
        settled = frozenset.intersection(*(self._settled[node] for node in (self._cluster.node, *self._others)))
        for question in self._questions:
            if question.storage_key in settled:
                for home in self._other_homes(question):
                    self._to_drop.setdefault(home, []).append(question)
        self._waiting = set(self._to_drop)
        for home, questions in self._to_drop.items():
            self._step.effects.send(home, DropTombstones(self._number, [list(one) for one in questions]))
        self._progress()

    def _end(self) -> None:
        self._calls.end(self._number)
        everybody = [self._cluster.node, *self._others]
        nothing: frozenset[bytes] = frozenset()
        agreed = frozenset.intersection(*(self._agreed.get(node, nothing) for node in everybody))
        settled = frozenset.intersection(*(self._settled.get(node, nothing) for node in everybody))
        dropped = frozenset(
            question.storage_key
            for question in self._questions
            if question.storage_key in settled
            and all(question.storage_key in self._dropped.get(home, nothing) for home in self._other_homes(question))
        )
        self._collection.ended(self._questions, Answers(dropped, agreed - dropped, self._refusals(everybody)))

    def _refusals(self, everybody: list[str]) -> dict[str, int]:
        """Return, by node, how many tombstones it did not agree to; a missing answer counts as no agreement."""
        own = self._agreed[self._cluster.node]
        missing: Mapping[str, int] = {
            node: len(self._questions) - len(own)
            if node == self._cluster.node
            else len(own - self._agreed.get(node, frozenset()))
            for node in everybody
        }
        return {node: count for node, count in missing.items() if count}

    def _other_homes(self, question: Question) -> list[str]:
        homes = self._cluster.ring.replicas_at(token_in(question.storage_key))
        return [home for home in homes if home != self._cluster.node]


def _keys(keys: list[object]) -> frozenset[bytes]:
    return frozenset(key for key in keys if isinstance(key, bytes))
