"""What a node counts: histograms whose bounds are inclusive, and counters by the labels they are exported with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.kernel.stats import BUCKETS_S, Histogram, Stats


def test_the_bounds_of_the_buckets_rise() -> None:
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))


@pytest.mark.parametrize("bucket", range(len(BUCKETS_S)))
def test_a_duration_on_a_bound_belongs_to_the_bucket_it_ends(bucket: int) -> None:
    histogram = Histogram()
    histogram.observe(BUCKETS_S[bucket])
    histogram.observe(BUCKETS_S[bucket] * 1.001)
    assert (histogram.counts[bucket], histogram.counts[bucket + 1]) == (1, 1)


def test_what_is_slower_than_all_bounds_has_the_last_bucket() -> None:
    histogram = Histogram()
    histogram.observe(1e6)
    assert histogram.counts == [0] * len(BUCKETS_S) + [1]


def test_what_took_no_time_has_the_first_bucket() -> None:
    histogram = Histogram()
    histogram.observe(0.0)
    assert histogram.counts[0] == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=20))
def test_a_histogram_counts_and_sums_what_it_observed(durations: list[tuple[float, int]]) -> None:
    histogram = Histogram()
    for seconds, times in durations:
        histogram.observe(seconds, times)
    assert histogram.count == sum(times for _, times in durations)
    assert histogram.sum_s == pytest.approx(sum(seconds * times for seconds, times in durations))
    for bucket, bound in enumerate(BUCKETS_S):
        assert sum(histogram.counts[: bucket + 1]) == sum(times for seconds, times in durations if seconds <= bound)


def test_requests_are_counted_by_kind_level_and_outcome() -> None:
    stats = Stats()
    stats.request("get", "ONE", "ok", 0.001)
    stats.request("get", "ONE", "ok", 0.2, times=3)
    stats.request("get", "ONE", "read_timeout", 1.0)
    assert {labels: histogram.count for labels, histogram in stats.requests.items()} == {
        ("get", "ONE", "ok"): 4,
        ("get", "ONE", "read_timeout"): 1,
    }
    assert stats.requests["get", "ONE", "ok"].sum_s == pytest.approx(0.601)


def test_replica_rpcs_are_counted_by_kind() -> None:
    stats = Stats()
    stats.replica_rpc("read", 0.001)
    stats.replica_rpc("write", 0.002)
    stats.replica_rpc("write", 0.003)
    assert {kind: histogram.count for kind, histogram in stats.replica_rpcs.items()} == {"read": 1, "write": 2}


def test_counters_begin_at_nothing_and_add_up() -> None:
    stats = Stats()
    assert stats.counters == {}
    stats.count("read_repairs")
    stats.count("read_repairs", 4)
    stats.count("dead_letters", 0)
    assert stats.counters == {"read_repairs": 5, "dead_letters": 0}
