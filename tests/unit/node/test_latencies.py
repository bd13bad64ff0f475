"""What a node knows of how fast others answer: usual latency and 99th percentile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.quorum_calls.latencies import SAMPLES, SAMPLES_MIN, Latencies

NODE = "eu-2"


def after(*seconds: float) -> Latencies:
    latencies = Latencies()
    for one in seconds:
        latencies.answered(NODE, one)
    return latencies


def usual_s(latencies: Latencies) -> float:
    usual = latencies.usual_s(NODE)
    assert usual is not None
    return usual


def test_nothing_is_known_of_a_node_that_was_never_asked() -> None:
    latencies = after(0.001)
    assert latencies.usual_s("eu-3") is None
    assert latencies.p99_s("eu-3") is None


def test_one_late_answer_makes_no_node_slow_and_a_few_in_a_row_do() -> None:
    latencies = after(*[0.001] * 50, 2.0)
    assert usual_s(latencies) < 0.0013
    for _ in range(3):
        latencies.answered(NODE, 2.0)
    assert usual_s(latencies) > 0.0015


def test_a_node_that_has_become_fast_again_is_known_to_be_after_some_dozens_of_answers() -> None:
    latencies = after(*[0.1] * 50)
    answers = 0
    while usual_s(latencies) > 0.0013:
        latencies.answered(NODE, 0.001)
        answers += 1
    assert answers < 100


def test_the_99th_percentile_is_known_only_from_enough_answers() -> None:
    assert after(*[0.001] * (SAMPLES_MIN - 1)).p99_s(NODE) is None
    assert after(*[0.001] * SAMPLES_MIN).p99_s(NODE) == 0.001


def test_the_99th_percentile_leaves_out_one_answer_in_a_hundred() -> None:
    seconds = [0.001] * 99 + [5.0]
    assert after(*seconds * 10).p99_s(NODE) == pytest.approx(0.001)
    assert after(*[0.001] * 95 + [0.02] * 5, *[0.001] * 95 + [0.02] * 5).p99_s(NODE) == 0.02


def test_only_the_last_answers_count_and_take_room() -> None:
    latencies = after(*[9.0] * 1000, *[0.001] * (2 * SAMPLES))
    assert latencies.p99_s(NODE) == 0.001
    assert len(latencies._nodes[NODE]._samples) == SAMPLES


def test_a_request_that_was_waited_for_in_vain_counts_as_a_slow_answer() -> None:
    latencies = after(0.001)
    latencies.unanswered(NODE, 0.003)
    assert usual_s(latencies) > 0.001


def test_a_request_given_up_sooner_than_usual_says_nothing() -> None:
    latencies = after(0.001)
    latencies.unanswered(NODE, 0.0001)
    assert usual_s(latencies) == 0.001


def test_a_node_that_never_answered_is_as_slow_as_it_was_waited_for() -> None:
    latencies = Latencies()
    latencies.unanswered(NODE, 5.0)
    assert usual_s(latencies) == 5.0


def test_nodes_that_have_left_are_forgotten() -> None:
    latencies = after(0.001)
    latencies.answered("eu-3", 0.001)
    latencies.keep(["eu-3", "eu-4"])
    assert latencies.usual_s(NODE) is None
    assert latencies.usual_s("eu-3") == 0.001


@given(st.lists(st.floats(1e-6, 100), min_size=1, max_size=600))
def test_both_figures_lie_between_the_fastest_and_the_slowest_answer(seconds: list[float]) -> None:
    latencies = after(*seconds)
    assert min(seconds) * 0.999 <= usual_s(latencies) <= max(seconds) * 1.001
    assert (latencies.p99_s(NODE) is None) == (len(seconds) < SAMPLES_MIN)
    assert latencies.p99_s(NODE) is None or min(seconds) <= latencies.p99_s(NODE) <= max(seconds)  # type: ignore[operator]
