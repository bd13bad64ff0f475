"""The log of changed keys: each key once, by its newest change; dropping keys raises the floor."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.replica.change_log import SLACK, ChangeLog


def log_of(*keys: bytes, keys_max: int = 3) -> ChangeLog:
    log = ChangeLog(keys_max)
    log.begin(7)
    for key in keys:
        log.note(key)
    return log


def test_changes_come_in_their_order_behind_a_number() -> None:
    log = log_of(b"a", b"b", b"c")
    assert list(log.behind(0)) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert list(log.behind(2)) == [(3, b"c")]
    assert list(log.behind(3)) == []
    assert (log.head, log.floor) == (3, 0)


def test_a_later_change_of_a_key_takes_the_place_of_the_earlier_one() -> None:
    log = log_of(b"a", b"b", b"a", b"b", b"b")
    assert list(log.behind(0)) == [(3, b"a"), (5, b"b")]
    assert (len(log), log.head, log.floor) == (2, 5, 0)


def test_the_key_that_has_not_changed_for_longest_is_forgotten_first_and_the_floor_rises_to_it() -> None:
    log = log_of(b"a", b"b", b"c", b"a", b"d")
    assert list(log.behind(0)) == [(3, b"c"), (4, b"a"), (5, b"d")]
    assert log.floor == 2
    log.note(b"e")
    assert (list(log.behind(3)), log.floor) == ([(4, b"a"), (5, b"d"), (6, b"e")], 3)


def test_before_anybody_watches_nothing_is_noted() -> None:
    log = ChangeLog()
    log.note(b"a")
    assert (len(log), log.head, list(log.behind(0))) == (0, 0, [])


def test_a_key_that_is_written_without_end_takes_the_room_of_few() -> None:
    log = log_of(*[b"hot"] * (10 * SLACK), b"cold", *[b"hot"] * SLACK)
    assert len(log._order) <= SLACK + 4
    assert [key for _, key in log.behind(0)] == [b"cold", b"hot"]
    assert log.floor == 0


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 6))
def test_behind_every_number_from_the_floor_on_no_changed_key_is_missing(keys: list[int], keys_max: int) -> None:
    log = log_of(*(bytes([key]) for key in keys), keys_max=keys_max)
    assert len(log) <= keys_max
    for number in range(log.floor, log.head + 1):
        changed = {bytes([key]) for key in keys[number:]}
        assert {key for _, key in log.behind(number)} == changed
        assert [at for at, _ in log.behind(number)] == sorted({at for at, _ in log.behind(number)})
