"""The outbox: which rows are sent and deleted, and when; the effect of a restart and of a full outbox."""

from collections.abc import Iterable
from random import Random

import pytest

from crdtkv.node.replica.comparison_marks import EXCHANGE, GIVE, ComparisonMarks
from crdtkv.node.replica.outbox import Outbox
from crdtkv.storage import rows
from crdtkv.storage.memory import MemoryStore

PEERS = ("ap", "us")


def outbox_on(store: MemoryStore, peers: Iterable[str] = PEERS, rows_max: int = 100, now: float = 0.0) -> Outbox:
    return Outbox(store, ComparisonMarks(store, tuple(peers)), rows_max, now)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def outbox(store: MemoryStore) -> Outbox:
    return outbox_on(store)


def keys_in(batch: list[tuple[int, bytes]]) -> list[bytes]:
    return [storage_key for _, storage_key in batch]


def numbers_in(batch: list[tuple[int, bytes]]) -> list[int]:
    return [outbox_seq for outbox_seq, _ in batch]


def rows_of(store: MemoryStore) -> dict[int, bytes]:
    return {rows.outbox_seq_in(row): storage_key for row, storage_key in store.scan(*rows.OUTBOX_RANGE, limit=10_000)}


def confirm_everywhere(outbox: Outbox, outbox_seqs: Iterable[int]) -> None:
    outbox_seqs = list(outbox_seqs)
    for peer in PEERS:
        outbox.confirm(peer, outbox_seqs)


# Recording and sending.


def test_a_write_is_one_row_in_memory_and_in_the_stores_batch(store: MemoryStore, outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    assert len(outbox) == 1
    assert outbox.queued == 1
    assert store.has_writes
    assert rows_of(store) == {1: b"k"}


def test_rows_are_sent_in_the_order_of_the_writes_up_to_the_limit(outbox: Outbox) -> None:
    for key in (b"c", b"a", b"b"):
        outbox.record(key, now=1.0)
    assert outbox.next_batch(2, now=2.0) == [(1, b"c"), (2, b"a")]
    assert outbox.next_batch(2, now=2.0) == [(3, b"b")]
    assert outbox.next_batch(2, now=2.0) == []


def test_a_row_stays_until_it_is_confirmed_however_often_batches_are_taken(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    outbox.next_batch(10, now=2.0)
    assert (len(outbox), outbox.queued) == (1, 0)


def test_without_other_data_centers_nothing_is_recorded(store: MemoryStore) -> None:
    outbox = outbox_on(store, peers=())
    outbox.record(b"k", now=1.0)
    assert (len(outbox), rows_of(store), store.has_writes) == (0, {}, False)


def test_writes_to_a_key_that_was_not_sent_yet_share_one_row(store: MemoryStore, outbox: Outbox) -> None:
    for now in (1.0, 2.0, 3.0):
        outbox.record(b"hot", now)
    outbox.record(b"cold", 4.0)
    assert outbox.next_batch(10, now=5.0) == [(1, b"hot"), (2, b"cold")]
    assert rows_of(store) == {1: b"hot", 2: b"cold"}


def test_a_write_after_the_row_was_sent_gets_a_row_of_its_own(store: MemoryStore, outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    (sent,) = outbox.next_batch(10, now=2.0)
    outbox.record(b"k", now=3.0)
    (again,) = outbox.next_batch(10, now=4.0)
    assert again[0] > sent[0]
    assert rows_of(store) == {again[0]: b"k"}


def test_a_row_that_was_replaced_leaves_the_queue(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    sent = outbox.next_batch(10, now=2.0)
    outbox.give_back(numbers_in(sent))
    outbox.record(b"k", now=3.0)
    assert outbox.queued == 1
    assert numbers_in(outbox.next_batch(10, now=4.0)) == [2]


# Confirming.


def test_a_row_goes_when_every_other_data_center_has_confirmed_it(store: MemoryStore, outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    outbox.next_batch(10, now=2.0)
    outbox.confirm("us", [1])
    assert (len(outbox), rows_of(store)) == (1, {1: b"k"})
    outbox.confirm("ap", [1])
    assert (len(outbox), rows_of(store)) == (0, {})


def test_one_data_center_confirming_twice_counts_once(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    outbox.next_batch(10, now=2.0)
    outbox.confirm("us", [1, 1])
    outbox.confirm("us", [1])
    assert len(outbox) == 1


def test_confirmations_of_unknown_rows_and_by_unknown_data_centers_change_nothing(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    outbox.next_batch(10, now=2.0)
    outbox.confirm("mars", [1])
    confirm_everywhere(outbox, [2, 0, 99])
    assert len(outbox) == 1


def test_a_key_waits_with_the_outbox_until_it_is_confirmed_everywhere(outbox: Outbox) -> None:
    outbox.record(b"a", now=0)
    assert outbox.waits_with(b"a")
    assert not outbox.waits_with(b"b")
    confirm_everywhere(outbox, numbers_in(outbox.next_batch(10, now=0)))
    assert not outbox.waits_with(b"a")


def test_any_key_may_wait_with_an_outbox_that_has_dropped_rows(store: MemoryStore) -> None:
    outbox = outbox_on(store, rows_max=1)
    outbox.record(b"a", now=0)
    outbox.record(b"b", now=0)
    assert outbox.waits_with(b"c")


def test_a_late_confirmation_of_a_replaced_row_does_not_confirm_the_later_write(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    first = outbox.next_batch(10, now=2.0)
    outbox.record(b"k", now=3.0)
    confirm_everywhere(outbox, numbers_in(first))
    assert keys_in(outbox.next_batch(10, now=4.0)) == [b"k"]
    assert len(outbox) == 1


def test_after_a_confirmation_the_next_write_is_recorded_again(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    confirm_everywhere(outbox, numbers_in(outbox.next_batch(10, now=2.0)))
    outbox.record(b"k", now=3.0)
    assert outbox.next_batch(10, now=4.0) == [(2, b"k")]


# Sending that failed, and rows that were lost.


def test_a_batch_whose_sending_failed_is_sent_again_under_its_numbers(outbox: Outbox) -> None:
    for key in (b"a", b"b"):
        outbox.record(key, now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    outbox.give_back(numbers_in(batch))
    assert outbox.next_batch(10, now=3.0) == batch


def test_giving_back_what_was_confirmed_meanwhile_does_nothing(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    confirm_everywhere(outbox, numbers_in(batch))
    outbox.give_back(numbers_in(batch))
    assert outbox.queued == 0


def test_a_confirmation_after_giving_back_takes_the_row_out_of_the_queue(outbox: Outbox) -> None:
    # The stream took the batch, and only its acknowledgement was lost.
    outbox.record(b"k", now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    outbox.give_back(numbers_in(batch))
    confirm_everywhere(outbox, numbers_in(batch))
    assert (len(outbox), outbox.queued) == (0, 0)


def test_a_write_between_a_failed_sending_and_its_late_confirmation_is_not_lost(outbox: Outbox) -> None:
    # The stream took the batch although the sending failed. The key is written again before that is confirmed:
    # the confirmation speaks of the older write only.
    outbox.record(b"k", now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    outbox.give_back(numbers_in(batch))
    outbox.record(b"k", now=3.0)
    confirm_everywhere(outbox, numbers_in(batch))
    assert len(outbox) == 1
    ((outbox_seq, storage_key),) = outbox.next_batch(10, now=4.0)
    assert storage_key == b"k"
    assert outbox_seq not in numbers_in(batch)


def test_rows_a_data_center_should_long_have_had_are_sent_again(outbox: Outbox) -> None:
    for key in (b"a", b"b", b"c"):
        outbox.record(key, now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    outbox.confirm("us", [2])
    assert outbox.republish_lost("us", sent_before=3.0) == 2
    assert outbox.next_batch(10, now=4.0) == [batch[0], batch[2]]


def test_only_what_was_sent_before_the_time_given_counts_as_lost(outbox: Outbox) -> None:
    outbox.record(b"old", now=1.0)
    outbox.next_batch(10, now=2.0)
    outbox.record(b"new", now=3.0)
    outbox.next_batch(10, now=4.0)
    outbox.record(b"unsent", now=4.5)
    assert outbox.republish_lost("us", sent_before=4.0) == 1
    assert sorted(keys_in(outbox.next_batch(10, now=5.0))) == [b"old", b"unsent"]


def test_what_is_queued_already_is_not_lost_twice(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    outbox.next_batch(10, now=2.0)
    assert outbox.republish_lost("us", sent_before=3.0) == 1
    assert outbox.republish_lost("us", sent_before=3.0) == 0
    assert outbox.queued == 1


def test_what_was_sent_again_is_given_its_time_to_arrive(outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    outbox.next_batch(10, now=2.0)
    outbox.republish_lost("us", sent_before=3.0)
    outbox.next_batch(10, now=10.0)
    assert outbox.republish_lost("us", sent_before=9.0) == 0
    assert outbox.republish_lost("us", sent_before=11.0) == 1


def test_lag_is_what_a_data_center_has_not_confirmed_and_the_age_of_the_oldest(outbox: Outbox) -> None:
    assert outbox.lag("us", now=5.0) == (0, 0.0)
    outbox.record(b"a", now=1.0)
    outbox.record(b"b", now=3.0)
    outbox.next_batch(10, now=4.0)
    outbox.confirm("us", [1])
    assert outbox.lag("us", now=5.0) == (1, 2.0)
    assert outbox.lag("ap", now=5.0) == (2, 4.0)


# Restarts.


def test_a_restart_sends_the_rows_that_survived_and_waits_for_everybody(store: MemoryStore, outbox: Outbox) -> None:
    for key in (b"a", b"b", b"c"):
        outbox.record(key, now=1.0)
    outbox.next_batch(2, now=2.0)
    outbox.confirm("us", [1, 2])
    outbox.confirm("ap", [2])
    store.commit()
    reloaded = outbox_on(store, now=50.0)
    assert reloaded.next_batch(10, now=51.0) == [(1, b"a"), (3, b"c")]
    assert reloaded.lag("us", now=52.0) == (2, 2.0)


def test_a_write_after_a_restart_is_not_confirmed_by_what_was_sent_before_it(
    store: MemoryStore, outbox: Outbox
) -> None:
    outbox.record(b"k", now=1.0)
    before = outbox.next_batch(10, now=2.0)
    store.commit()
    reloaded = outbox_on(store, now=3.0)
    reloaded.record(b"k", now=4.0)
    confirm_everywhere(reloaded, numbers_in(before))
    assert keys_in(reloaded.next_batch(10, now=5.0)) == [b"k"]


def test_a_confirmation_that_arrives_after_a_restart_counts(store: MemoryStore, outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    store.commit()
    reloaded = outbox_on(store, now=3.0)
    confirm_everywhere(reloaded, numbers_in(batch))
    assert (len(reloaded), reloaded.queued, rows_of(store)) == (0, 0, {})


def test_a_row_nobody_republished_counts_as_lost_after_a_restart(store: MemoryStore, outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    store.commit()
    reloaded = outbox_on(store, now=3.0)
    reloaded.next_batch(10, now=4.0)
    assert reloaded.republish_lost("us", sent_before=5.0) == 1


@pytest.mark.parametrize("is_empty", [False, True])
def test_numbers_are_never_used_again_after_a_restart(store: MemoryStore, outbox: Outbox, is_empty: bool) -> None:
    for key in (b"a", b"b"):
        outbox.record(key, now=1.0)
    used = numbers_in(outbox.next_batch(10, now=2.0))
    if is_empty:
        confirm_everywhere(outbox, used)
    store.commit()
    for now in (3.0, 4.0, 5.0):
        reloaded = outbox_on(store, now=now)
        reloaded.record(b"key at %d" % now, now=now)
        fresh = [outbox_seq for outbox_seq, key in reloaded.next_batch(10, now) if key == b"key at %d" % now]
        assert min(fresh) > max(used)
        used += fresh
        store.commit()


def test_a_crash_that_forgets_a_reservation_forgets_its_rows_as_well(store: MemoryStore, outbox: Outbox) -> None:
    outbox.record(b"k", now=1.0)
    store.commit()
    store.crash()
    reloaded = outbox_on(store, now=2.0)
    assert len(reloaded) == 0
    reloaded.record(b"k", now=3.0)
    store.commit()
    store.sync()
    store.crash()
    assert rows_of(store) == {1: b"k"}
    third = outbox_on(store, now=4.0)
    third.record(b"other", now=5.0)
    assert max(numbers_in(third.next_batch(10, now=6.0))) > 1


def test_more_rows_than_one_page_of_the_store_survive_a_restart(store: MemoryStore) -> None:
    # The keys are 1024 bytes, so that a page of the store ends by its size.
    outbox = outbox_on(store, rows_max=5_000)
    keys = [b"%01024d" % number for number in range(2_000)]
    for key in keys:
        outbox.record(key, now=1.0)
    store.commit()
    assert keys_in(outbox_on(store, rows_max=5_000).next_batch(5_000, now=2.0)) == keys


# A full outbox.


def test_a_full_outbox_drops_the_oldest_rows_of_the_one_that_has_confirmed_least(store: MemoryStore) -> None:
    outbox = outbox_on(store, rows_max=3)
    for key in (b"a", b"b", b"c"):
        outbox.record(key, now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    outbox.confirm("us", numbers_in(batch))
    outbox.record(b"d", now=3.0)
    assert rows_of(store) == {2: b"b", 3: b"c", 4: b"d"}
    assert outbox.lag("us", now=3.0)[0] == 1
    assert outbox.lag("ap", now=3.0)[0] == 3
    marks = ComparisonMarks(store, PEERS)
    assert (marks.kind("ap"), marks.kind("us")) == (GIVE, None)


def test_the_rows_of_a_healthy_data_center_stay_when_another_one_is_given_up(store: MemoryStore) -> None:
    outbox = outbox_on(store, rows_max=20)
    sent: list[bytes] = []
    for number in range(200):
        outbox.record(b"%03d" % number, now=1.0)
        batch = outbox.next_batch(10, now=2.0)
        sent += keys_in(batch)
        outbox.confirm("us", numbers_in(batch))
    assert sent == [b"%03d" % number for number in range(200)]
    assert len(outbox) == 20
    assert outbox.lag("us", now=3.0) == (0, 0.0)


def test_a_full_outbox_gives_up_on_all_if_none_of_them_confirms(store: MemoryStore) -> None:
    outbox = outbox_on(store, rows_max=2)
    for key in (b"a", b"b", b"c", b"d"):
        outbox.record(key, now=1.0)
    assert rows_of(store) == {3: b"c", 4: b"d"}
    marks = ComparisonMarks(store, PEERS)
    assert (marks.kind("ap"), marks.kind("us")) == (GIVE, GIVE)


def test_a_full_outbox_still_takes_writes_to_keys_it_holds(store: MemoryStore) -> None:
    outbox = outbox_on(store, rows_max=2)
    for key in (b"a", b"b"):
        outbox.record(key, now=1.0)
    outbox.next_batch(1, now=2.0)
    outbox.record(b"a", now=3.0)
    outbox.record(b"b", now=3.0)
    assert len(ComparisonMarks(store, PEERS)) == 0
    assert rows_of(store) == {2: b"b", 3: b"a"}


def test_a_row_that_was_dropped_can_still_be_confirmed_and_given_back(store: MemoryStore) -> None:
    outbox = outbox_on(store, rows_max=1)
    outbox.record(b"a", now=1.0)
    batch = outbox.next_batch(10, now=2.0)
    outbox.record(b"b", now=3.0)
    confirm_everywhere(outbox, numbers_in(batch))
    outbox.give_back(numbers_in(batch))
    assert keys_in(outbox.next_batch(10, now=4.0)) == [b"b"]


def test_the_lag_counts_what_is_in_the_rows_after_any_history(store: MemoryStore) -> None:
    random = Random(1)
    outbox = outbox_on(store, rows_max=20)
    for _ in range(2_000):
        match random.randrange(3):
            case 0:
                outbox.record(b"%d" % random.randrange(30), now=1.0)
            case 1:
                outbox.next_batch(random.randrange(5), now=2.0)
            case 2:
                outbox.confirm(random.choice(PEERS), random.sample(range(1, 2_000), 300))
        for peer in PEERS:
            waiting = sum(peer in row.waiting_for for row in outbox._rows.values())
            assert outbox.lag(peer, now=3.0)[0] == outbox._unconfirmed[peer] == waiting


# Marks.


def test_marks_survive_a_restart_and_those_of_a_data_center_that_left_do_not(store: MemoryStore) -> None:
    marks = ComparisonMarks(store, PEERS)
    marks.set("ap", GIVE)
    marks.set("us", EXCHANGE)
    assert [ComparisonMarks(store, PEERS).kind(peer) for peer in PEERS] == [GIVE, EXCHANGE]
    ComparisonMarks(store, ("us",))
    assert [ComparisonMarks(store, PEERS).kind(peer) for peer in PEERS] == [None, EXCHANGE]


def test_a_mark_for_an_exchange_is_not_weakened(store: MemoryStore) -> None:
    marks = ComparisonMarks(store, PEERS)
    marks.set("us", GIVE)
    marks.set("us", EXCHANGE)
    marks.set("us", GIVE)
    assert ComparisonMarks(store, PEERS).kind("us") == EXCHANGE
    assert marks.times_set("us") == 3
    marks.clear("us")
    assert ComparisonMarks(store, PEERS).kind("us") is None


def test_a_data_center_that_is_added_or_put_back_is_marked_if_there_is_anything_to_give(store: MemoryStore) -> None:
    assert len(ComparisonMarks(store, ("us",))) == 0
    store.put(rows.data_row(b"k"), b"entry")
    assert len(ComparisonMarks(store, ("us",))) == 0
    marks = ComparisonMarks(store, PEERS)
    assert (marks.kind("ap"), marks.kind("us")) == (GIVE, None)
    marks.clear("ap")
    assert len(ComparisonMarks(store, ("us",))) == 0
    assert ComparisonMarks(store, PEERS).kind("ap") == GIVE
