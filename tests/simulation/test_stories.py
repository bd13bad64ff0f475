"""Every bug that the simulator has found in the product has a stored run that shows it, the smallest one found.

A story is a stored plan (`python -m crdtkv.sim SEED --shrink --save FILE`), because what a seed draws changes as
the simulator learns new faults.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crdtkv.client.core.subscription import Group, Subscription
from crdtkv.node.enrollment.enrollment import Enrollment
from crdtkv.node.membership import ring_follower
from crdtkv.ring import agreement
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.runs.runner import run_plan, run_seed
from crdtkv.storage import identity, rows
from tests.simulation.planting import replaced

STORIES = Path(__file__).parent / "stories"


def holds(name: str) -> None:
    verdict = run_plan(Plan.from_json((STORIES / f"{name}.json").read_text()))
    assert verdict.failure is None, str(verdict)


def test_calls_of_geo_replication_do_not_wait_for_a_replica_that_is_silent() -> None:
    """Seed 100044, I9: us-3 is paused; us-2 applies message after message with us-1, but each call stayed in its
    table until us-3 had answered, five seconds long, so the table grew beyond any bound and clients got `Overloaded`.
    """
    holds("geo-calls-wait-for-a-slow-replica")


def test_a_node_that_has_just_restarted_is_not_found_down_by_what_was_seen_before() -> None:
    """Seed 852574617, I7: eu-5 lost power, which broke its links. That is evidence, and shortens the wait for its
    heartbeat. It was back soon, on new links, but the old evidence still counted, so the first heartbeat that came
    late made two observers declare a healthy node down, and a read at `LOCAL_ALL` failed.
    """
    holds("old-evidence-after-a-restart")


def test_a_fallback_replica_without_room_for_all_its_hints_stores_none() -> None:
    """Seed 42, I5: both home replicas are down, eu-1 takes a write at `ANY` as a fallback replica and needs a hint for
    each. There was room for one; the client got `Overloaded`, and the write that was certainly refused came up later.
    """
    holds("a-guest-refused-by-half")


def test_a_read_that_is_under_way_does_not_count_who_has_become_a_learner() -> None:
    """Seed 486, rule 3: eu-4 has begun a read, with eu-1 as a spare. eu-1 comes back with an empty disk and enters
    itself as a learner; eu-4 follows the new epoch, then asks its spare, under that epoch, and counted the answer.
    """
    holds("a-learner-asked-across-an-epoch")


@pytest.mark.parametrize(
    ("seed", "fault_class"),
    [
        (212187245, "nats"),
        (60001182, "nats"),
        (5000007, "partitions"),
        (530000376, "fallbacks"),
        (540009883, "collection"),
    ],
)
def test_a_seed_of_a_class_that_once_misled_the_checkers_holds(seed: int, fault_class: str) -> None:
    """A blind write whose dot was in the basis of what was sent; a write between the last answer of a collection round
    and the first drop; a fallback replica that gave a reader a part of what it held; a last read that wrote a tombstone
    back to replicas that had just dropped it.
    """
    verdict = run_seed(seed, fault_class)
    assert verdict.failure is None, str(verdict)


def test_a_watch_goes_on_when_all_replicas_were_learners_and_count_again() -> None:
    """Seed 700000101 of the class disks, watch: all disks are lost, so every replica is a learner when the watch looks
    for one. The watch's client never received the ring in which they counted again, so it waited for ever.
    """
    holds("a-watch-of-learners")


def test_a_watch_catches_up_with_a_node_that_restarted_while_no_poll_was_under_way() -> None:
    """Seed 700001183 of the class watchers, watch: the watch reads a page of the initial state while us-1 restarts, and
    polls on there when it runs again. us-1 numbers its changes anew; the watch still waited for the old head, which was
    never reached, and polled without a pause.
    """
    holds("a-watch-of-a-node-that-restarts")


def test_the_hint_of_a_fallback_coordinator_is_no_second_copy() -> None:
    """Seed 610000664, level: us-4 is no home replica of dwflag/k0 and coordinates a write at SLOPPY_QUORUM when both
    home replicas have just come back. It counted itself and us-3, and then handed its hint to us-3.
    """
    verdict = run_seed(610000664, "fallbacks")
    assert verdict.failure is None, str(verdict)


def test_a_page_of_a_scan_that_two_sessions_share_is_promised_to_neither() -> None:
    """Seed 640002684, streams: client-0 entered client-1's session while its scan read one key of a page separately.

    The other rows of the page had been compared with client-0's own session, and the page was judged by client-1's.
    """
    verdict = run_seed(640002684, "streams")
    assert verdict.failure is None, str(verdict)


def test_an_emptied_node_does_not_count_by_the_document_of_a_first_start() -> None:
    """Seed 660014061, nats: eu-1 was emptied while the bucket was lost, and wrote the document of a first start. An
    operator's changes raised that to the epoch of the others, and eu-1 counted until the documents met.
    """
    verdict = run_seed(660014061, "nats")
    assert verdict.failure is None, str(verdict)


def test_a_tombstone_is_collected_and_its_key_written_in_one_step() -> None:
    """Seed 690011233: a paused node had the last consent to a collection and a write of the key in its queue. The
    commit of that step replaced one entry by another, which has seen nothing of it.
    """
    verdict = run_seed(690011233)
    assert verdict.failure is None, str(verdict)


def test_the_last_reads_wait_until_no_node_has_to_enter_itself() -> None:
    """Seed 700001022, clocks: the document had another address for eu-1, so the epoch changed under the last scans."""
    verdict = run_seed(700001022, "clocks")
    assert verdict.failure is None, str(verdict)


def test_every_stored_run_is_used() -> None:
    text = Path(__file__).read_text()
    assert [path.stem for path in STORIES.glob("*.json") if f'holds("{path.stem}")' not in text] == []


def test_a_data_center_is_given_an_entry_when_a_majority_has_it() -> None:
    """Seed 830000160: the entry was at one replica of the other data center, from a message that no majority had.

    The trees of the two nodes that compared were equal, so the mark was cleared.
    """
    verdict = run_seed(830000160)
    assert verdict.failure is None, str(verdict)


@pytest.mark.parametrize(
    "seed",
    [8, 126, 188, 208, 3278, 400837, 1002970, 2002705, 2002930, 7100501, 9000466, 810007248, 831000914, 831001554],
)
def test_a_seed_that_once_misled_the_checkers_holds(seed: int) -> None:
    """The simulator's own mistakes: dots judged before they were durable; a delete that a wiped replica had outrun; a
    disk that was full for a part of a step only; a last read that did not wait for a client's second try; a rolling
    restart that went on after everything had healed; a write that was done twice, because a disk was lost, looked for
    under its last dot only; an acknowledgment that a node passed on from another one; a hint that refers to an entry
    that was written after its node had agreed to collect the tombstone; a row of an outbox that was dropped in the step
    of its write; a write of another node that was missing in a data center that this node had compared.
    """
    verdict = run_plan(Plan.draw(seed))
    assert verdict.failure is None, str(verdict)


def test_a_replica_given_up_by_a_read_is_not_asked_again_when_its_refusal_comes() -> None:
    """Seed 486954631, rule 3: us-2 asks us-1, which is entering itself as a learner and refuses for a moment. Before
    that refusal comes us-2 follows the new epoch and gives us-1 up; then it asked it once more, under that epoch.
    """
    holds("a-learner-asked-again")


def test_a_learner_answers_no_read_when_others_have_lost_the_document_that_made_it_one() -> None:
    """Seed 700000610, rule 3: ap-2 comes back without its disk, and enters itself as a learner. The bucket is set back
    to before that, and the ring changes: two documents of one epoch. In the other ap-2 counts, and it answered.
    """
    holds("a-learner-in-a-lost-document")


def test_a_copy_that_was_put_back_is_no_less_a_copy_when_its_first_start_fails() -> None:
    """Seed 2096653092, I3: us-1 is put back to a copy from before its last start, and its next start breaks off after
    it was counted. The start after that counted one more than the bucket remembered, so the node went on under the
    name under which it had made dots that the copy did not know, and made one of them again.
    """
    holds("a-copy-that-fails-to-start")


def test_an_empty_disk_does_not_count_because_the_bucket_was_lost() -> None:
    """Seed 2574632343, rule 3: eu-1 loses its disk and the bucket its document. eu-1 wrote the one of a first start, in
    which it counts at once; ring changes raised that above the epoch that the others knew, and they followed it.
    """
    holds("an-empty-disk-in-a-lost-bucket")


def test_a_part_joined_from_several_changes_brings_nothing_back_that_was_let_go() -> None:
    """Seed 8101254 of the class disks, I2: eu-2 sent eu-1 its last changes of a large `minreg` as one part. One of them
    was an older whole, with an element that eu-1 had seen and let go. The part had seen everything that eu-1 had, so it
    was taken for newer as a whole, element included.
    """
    holds("a-part-with-what-was-let-go")


def test_what_acknowledges_one_repair_does_not_count_for_another() -> None:
    """Seed 212187469 of the class nats, level: eu-3 reads at `LINEARIZABLE`, finds eu-1 without the value and writes it
    back. eu-2 answers late, with another value; then eu-5, which has nothing to do with this, dies. eu-3 concluded
    again on that, with both values, and counted eu-1's acknowledgment of the first write-back for the second.
    `tests/unit/node/test_read_repair.py` shows the mistake; this plan does not since reads end by digests.
    """
    holds("an-acknowledgment-of-an-earlier-repair")


def _outlive_by_number_of_starts() -> Any:
    """The bucket is compared with how often the disk was started, as it once was."""
    outlive = identity.outlive

    def wrong(record: Any, store: Any, owner: Any, who: Any, remembered: int | None, fresh: int) -> Any:
        store.put(rows.STARTS_NOTED, (who.starts - 1).to_bytes(8, "big"))
        return outlive(record, store, owner, who, remembered, fresh)

    return replaced(identity, "outlive", wrong)


@contextmanager
def _documents_followed_as_they_are() -> Iterator[None]:
    """What is known of disks does not count against a newer document, nodes do not pass theirs on, and one whose disk
    replaces another enters itself as a member by the document of a first start.
    """
    enter = Enrollment._enter

    def enters(self: Enrollment, is_learner: bool) -> None:
        enter(self, is_learner and bool(self._known_incarnation()))

    def right(found: Any, known: Any) -> Any:
        return found

    with (
        replaced(agreement, "corrected", right),
        replaced(ring_follower, "corrected", right),
        replaced(ring_follower.RingFollower, "heard_older", lambda self, node: None),
        replaced(Enrollment, "_enter", enters),
    ):
        yield


def _watches_that_never_ask_for_the_ring() -> Any:
    """A watch goes by the ring that the client knows."""
    return replaced(Subscription, "_refresh_ring", lambda self: None)


def _goals_that_stay() -> Any:
    """A group goes on to the head of its first page, whatever numbers the node has begun since."""
    answered = Group.answered

    def wrong(self: Group, reply: Any) -> None:
        answered(self, reply._replace(head=max(reply.head, self._goal or 0)))

    return replaced(Group, "answered", wrong)


#: How many seeds of a stored plan are tried until it shows a mistake.
SEEDS_MAX = 1_000


@pytest.mark.interpreted
@pytest.mark.parametrize(
    ("mistake", "name"),
    [
        (_outlive_by_number_of_starts, "a-copy-that-fails-to-start"),
        (_documents_followed_as_they_are, "an-empty-disk-in-a-lost-bucket"),
        (_watches_that_never_ask_for_the_ring, "a-watch-of-learners"),
        (_goals_that_stay, "a-watch-of-a-node-that-restarts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_story_tells_the_mistake_it_is_about(mistake: Callable[[], Any], name: str) -> None:
    """The seed of a stored plan decides what the network does in the same calls and incidents, and every new message of
    the product changes the order of all others. So some plans show their mistake under one of the next seeds only.
    """
    plan = Plan.from_json((STORIES / f"{name}.json").read_text())
    with mistake():
        assert any(run_plan(replace(plan, seed=plan.seed + more)).failure is not None for more in range(SEEDS_MAX))
