"""Hybrid clocks: timestamps follow the wall clock, never go back, and are not dragged away by a broken clock."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.causality.hybrid_clock import FOLLOW_MS, LOGICAL_BITS, HybridClock, from_wall_ms, wall_ms_of

NOON = 1_700_000_000_000
DRIFT_MS = 60_000


def test_a_timestamp_tells_its_wall_time() -> None:
    assert wall_ms_of(from_wall_ms(NOON)) == NOON
    assert wall_ms_of(from_wall_ms(NOON) + 41) == NOON


def test_the_first_tick_of_a_millisecond_is_its_lowest_timestamp() -> None:
    assert HybridClock().tick(NOON) == from_wall_ms(NOON)


def test_while_the_wall_clock_stands_still_the_logical_part_counts_on() -> None:
    clock = HybridClock()
    assert [clock.tick(NOON) - from_wall_ms(NOON) for _ in range(4)] == [0, 1, 2, 3]


def test_when_the_wall_clock_moves_on_the_logical_part_starts_again() -> None:
    clock = HybridClock()
    clock.tick(NOON)
    clock.tick(NOON)
    assert clock.tick(NOON + 1) == from_wall_ms(NOON + 1)


def test_when_the_wall_clock_jumps_back_timestamps_do_not() -> None:
    clock = HybridClock()
    before = clock.tick(NOON)
    assert clock.tick(NOON - 3_600_000) == before + 1
    assert clock.tick(NOON - 3_600_000) == before + 2


def test_after_a_jump_back_the_clock_follows_the_wall_again_once_it_has_caught_up() -> None:
    clock = HybridClock()
    clock.tick(NOON)
    clock.tick(NOON - 1_000)
    assert clock.tick(NOON + 1) == from_wall_ms(NOON + 1)


def test_a_full_logical_part_carries_into_the_milliseconds() -> None:
    clock = HybridClock()
    clock.observe(from_wall_ms(NOON) + 2**LOGICAL_BITS - 1, NOON)
    assert clock.tick(NOON) == from_wall_ms(NOON + 1)
    assert clock.tick(NOON) == from_wall_ms(NOON + 1) + 1


def test_a_tick_lies_above_what_it_must_be_ordered_behind() -> None:
    clock = HybridClock()
    above = from_wall_ms(NOON + 5) + 7
    assert clock.tick(NOON, above=above) == above + 1
    assert clock.tick(NOON) == above + 2


def test_a_tick_takes_no_notice_of_what_is_already_behind() -> None:
    clock = HybridClock()
    assert clock.tick(NOON, above=from_wall_ms(NOON) - 1) == from_wall_ms(NOON)


def test_a_tick_lies_above_what_was_observed_a_little_ahead() -> None:
    clock = HybridClock()
    elsewhere = from_wall_ms(NOON + FOLLOW_MS)
    clock.observe(elsewhere, NOON)
    assert clock.tick(NOON) == elsewhere + 1
    assert clock.ahead == 0


def test_observing_the_past_changes_nothing() -> None:
    clock = HybridClock()
    before = clock.tick(NOON)
    clock.observe(from_wall_ms(NOON - 1), NOON)
    assert clock.tick(NOON) == before + 1


def test_a_stamp_from_the_far_future_does_not_advance_the_clock_and_is_counted() -> None:
    clock = HybridClock()
    clock.observe(from_wall_ms(NOON + DRIFT_MS) + 1, NOON)
    assert clock.ahead == 1
    assert clock.tick(NOON) == from_wall_ms(NOON)


def test_a_write_behind_a_far_future_stamp_is_ordered_and_the_clock_stays() -> None:
    clock = HybridClock()
    far = from_wall_ms(NOON + 10 * DRIFT_MS)
    assert clock.tick(NOON, above=far) == far + 1
    assert clock.ahead == 1
    assert clock.tick(NOON) == from_wall_ms(NOON)


def test_a_stamp_ahead_of_the_wall_clock_does_not_take_the_clock_along() -> None:
    clock = HybridClock()
    ahead = from_wall_ms(NOON + FOLLOW_MS) + 1
    clock.observe(ahead, NOON)
    assert clock.tick(NOON) == from_wall_ms(NOON)
    assert clock.tick(NOON, above=ahead) == ahead + 1
    assert clock.tick(NOON) == from_wall_ms(NOON) + 1
    assert clock.ahead == 0


def test_what_counts_as_a_broken_clock_is_set_by_the_drift_allowed() -> None:
    strict, lenient = HybridClock(max_drift_ms=10), HybridClock(max_drift_ms=1_000)
    for clock in (strict, lenient):
        clock.observe(from_wall_ms(NOON + 600), NOON)
    assert (strict.ahead, lenient.ahead) == (1, 0)


def test_a_stamp_is_followed_once_the_wall_clock_has_come_near_it() -> None:
    clock = HybridClock()
    far = from_wall_ms(NOON + 2 * DRIFT_MS)
    clock.observe(far, NOON)
    clock.observe(far, NOON + 2 * DRIFT_MS - FOLLOW_MS)
    assert clock.tick(NOON + DRIFT_MS) == far + 1


def test_a_clock_passes_by_what_it_is_told_to_also_ahead_of_the_wall_clock() -> None:
    clock = HybridClock()
    clock.pass_by(from_wall_ms(NOON + DRIFT_MS))
    assert clock.tick(NOON) == from_wall_ms(NOON + DRIFT_MS) + 1


WALLS = st.integers(NOON - 100_000, NOON + 100_000)
STAMPS = st.builds(lambda wall_ms, logical: from_wall_ms(wall_ms) + logical, WALLS, st.integers(0, 2**16 - 1))
STEPS = st.lists(st.tuples(st.sampled_from(["tick", "above", "observe"]), WALLS, STAMPS), max_size=30)


@given(STEPS)
def test_ticks_never_go_back_and_lie_above_all_that_is_not_too_far_ahead(steps: list[tuple[str, int, int]]) -> None:
    clock = HybridClock()
    highest = 0
    for act, wall_ms, stamp in steps:
        horizon = from_wall_ms(wall_ms + FOLLOW_MS)
        if act == "observe":
            clock.observe(stamp, wall_ms)
            highest = max(highest, stamp) if stamp <= horizon else highest
            continue
        above = stamp if act == "above" else 0
        issued = clock.tick(wall_ms, above)
        assert issued > highest
        assert issued > above
        assert issued >= from_wall_ms(wall_ms)
        # A tick that had to lie behind a stamp ahead of the wall clock is the only one that leaves no trace.
        if above <= highest or issued <= horizon:
            highest = issued
    assert clock.tick(NOON - 200_000) == max(highest + 1, from_wall_ms(NOON - 200_000))
