"""How long a read waits before it asks one more replica, and how many reads may."""

import pytest

from crdtkv.node.quorum_calls.hedging import LONGEST_S, SAVED_MAX, SHARE, SHORTEST_S, Hedging
from crdtkv.node.quorum_calls.latencies import Latencies


def hedging(**milliseconds: float) -> Hedging:
    """Return hedging that has seen nodes answer this fast."""
    latencies = Latencies()
    for name, one in milliseconds.items():
        for _ in range(100):
            latencies.answered(name, one / 1000)
    return Hedging(latencies)


def test_a_read_waits_as_long_as_its_fastest_replicas_usually_need_at_most() -> None:
    some = hedging(a=3.0, b=7.0, c=30.0)
    assert some.wait_s(["c", "b", "a"], 1) == pytest.approx(0.003)
    assert some.wait_s(["c", "b", "a"], 2) == pytest.approx(0.007)


def test_a_slow_replica_that_is_asked_does_not_make_the_read_wait_for_it() -> None:
    assert hedging(a=3.0, b=45.0).wait_s(["b", "a"], 1) == pytest.approx(0.003)


def test_while_too_little_is_known_a_read_waits_long() -> None:
    assert hedging().wait_s(["a", "b"], 1) == LONGEST_S
    assert hedging(a=3.0).wait_s(["a", "b"], 2) == LONGEST_S


@pytest.mark.parametrize(("usual_ms", "waits_s"), [(0.2, SHORTEST_S), (400.0, LONGEST_S)])
def test_the_wait_is_bounded_on_both_sides(usual_ms: float, waits_s: float) -> None:
    assert hedging(a=usual_ms, b=usual_ms).wait_s(["a", "b"], 1) == waits_s


def test_where_every_read_is_late_one_in_twenty_hedges() -> None:
    some = hedging()
    while some.spend():
        pass
    allowed = 0
    for _ in range(10_000):
        some.earn()
        allowed += some.spend()
    assert allowed == pytest.approx(10_000 * SHARE, abs=1)


def test_hedges_that_were_not_needed_are_saved_for_a_burst_but_not_without_end() -> None:
    some = hedging()
    for _ in range(1_000_000):
        some.earn()
    allowed = 0
    while some.spend():
        allowed += 1
    assert allowed == SAVED_MAX
