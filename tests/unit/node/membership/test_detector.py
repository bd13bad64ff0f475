"""The failure detector of one observer: waits, evidence, and its own absence."""

import pytest

from crdtkv.node.membership.detector import DetectorSettings, FailureDetector

# In a ring of four the full wait is 2 s.
SETTINGS = DetectorSettings(suspect_base_s=1.0, suspect_per_doubling_s=0.5, evidence_wait_s=0.6, own_gap_s=1.0)


def watching(*nodes: str, at: float = 0.0) -> FailureDetector:
    return FailureDetector(SETTINGS, nodes or "bcd", at)


def look_every_half_second(detector: FailureDetector, begin: float, end: float) -> list[tuple[float, str]]:
    """Return when each node came to be doubted."""
    found = []
    for step in range(int((end - begin) * 2) + 1):
        now = begin + step / 2
        detector.look(now)
        found += [(now, node) for node in detector.newly_doubted(now)]
    return found


@pytest.mark.parametrize(("nodes", "wait_s"), [(1, 1.5), (2, 1.5), (4, 2.0), (16, 3.0), (1024, 6.0)])
def test_the_wait_grows_with_every_doubling_of_the_ring(nodes: int, wait_s: float) -> None:
    assert SETTINGS.suspect_after_s(nodes) == wait_s


def test_by_default_three_nodes_wait_below_two_seconds_and_twenty_below_two_and_a_half() -> None:
    assert DetectorSettings().suspect_after_s(3) < 2.0
    assert DetectorSettings().suspect_after_s(20) < 2.5


def test_a_heartbeat_that_stands_still_for_the_whole_wait_is_doubted_once() -> None:
    detector = watching()
    assert look_every_half_second(detector, 0.0, 1.5) == []
    assert look_every_half_second(detector, 2.0, 4.0) == [(2.0, "b"), (2.0, "c"), (2.0, "d")]
    assert detector.doubted == ["b", "c", "d"]
    assert detector.doubts_all()


def test_growth_begins_the_wait_anew() -> None:
    detector = watching()
    look_every_half_second(detector, 0.0, 1.5)
    detector.grew(["c"], 1.5)
    assert look_every_half_second(detector, 2.0, 4.0) == [(2.0, "b"), (2.0, "d"), (3.5, "c")]


def test_growth_ends_a_doubt() -> None:
    detector = watching()
    look_every_half_second(detector, 0.0, 2.0)
    detector.grew(["c"], 2.1)
    assert detector.doubted == ["b", "d"]
    assert not detector.doubts("c")
    assert not detector.doubts_all()


def test_evidence_shortens_the_wait() -> None:
    detector = watching()
    detector.evidence("c", 0.0)
    assert look_every_half_second(detector, 0.0, 1.5) == [(1.0, "c")]


def test_evidence_is_no_proof_while_the_heartbeat_goes_on_growing() -> None:
    detector = watching()
    detector.evidence("c", 0.0)
    for step in range(1, 8):
        detector.grew(["c"], step / 2)
        assert look_every_half_second(detector, step / 2, step / 2) == ([] if step != 4 else [(2.0, "b"), (2.0, "d")])


def test_evidence_outlasts_the_late_news_of_a_dead_node() -> None:
    """Its last heartbeat reaches this observer through others, after the link was reset."""
    detector = watching()
    detector.evidence("c", 0.1)
    detector.grew(["c"], 0.5)
    assert look_every_half_second(detector, 1.0, 1.5) == [(1.5, "c")]


def test_evidence_is_forgotten_after_one_full_wait() -> None:
    detector = watching()
    detector.evidence("c", 0.0)
    for now in (0.5, 1.0, 1.5, 2.0):
        detector.grew(["b", "c", "d"], now)
        assert look_every_half_second(detector, now, now) == []
    assert look_every_half_second(detector, 2.5, 3.5) == []


def test_a_link_that_stands_again_withdraws_the_evidence() -> None:
    detector = watching()
    detector.evidence("c", 0.0)
    detector.linked("c", 0.0)
    assert look_every_half_second(detector, 0.5, 1.5) == []


def test_whoever_greets_on_a_new_link_is_doubted_no_more_until_a_full_wait_has_passed() -> None:
    detector = watching()
    look_every_half_second(detector, 0.0, 3.0)
    assert detector.doubts("c")
    detector.linked("c", 3.0)
    assert not detector.doubts("c")
    assert look_every_half_second(detector, 3.5, 4.0) == []
    assert [node for _, node in look_every_half_second(detector, 4.5, 6.5)] == ["c"]


def test_evidence_against_a_stranger_is_ignored() -> None:
    detector = watching()
    detector.evidence("z", 0.0)
    detector.linked("z", 0.0)
    assert look_every_half_second(detector, 0.5, 1.0) == []


def test_whoever_stood_still_itself_suspects_nobody_on_waking() -> None:
    detector = watching()
    look_every_half_second(detector, 0.0, 1.0)
    assert look_every_half_second(detector, 61.0, 62.5) == []
    assert look_every_half_second(detector, 63.0, 63.0) == [(63.0, "b"), (63.0, "c"), (63.0, "d")]


def test_links_found_closed_on_waking_are_no_evidence() -> None:
    detector = watching()
    look_every_half_second(detector, 0.0, 1.0)
    detector.look(61.0)
    for node in "bcd":
        detector.evidence(node, 61.0)
    assert look_every_half_second(detector, 61.0, 62.5) == []


def test_evidence_from_before_a_pause_is_dropped() -> None:
    detector = watching()
    detector.evidence("c", 0.4)
    look_every_half_second(detector, 0.5, 0.5)
    assert look_every_half_second(detector, 61.0, 62.5) == []


def test_doubts_from_before_a_pause_stay_until_the_heartbeat_grows() -> None:
    detector = watching()
    look_every_half_second(detector, 0.0, 2.0)
    detector.look(61.0)
    assert detector.doubted == ["b", "c", "d"]


def test_a_node_that_joins_the_ring_gets_a_full_wait_and_one_that_leaves_is_forgotten() -> None:
    detector = watching()
    detector.evidence("d", 0.9)
    look_every_half_second(detector, 0.0, 1.0)
    detector.follow(["b", "e", "f"], 1.0)
    assert look_every_half_second(detector, 1.5, 3.0) == [(2.0, "b"), (3.0, "e"), (3.0, "f")]
    detector.follow(["f"], 3.0)
    assert detector.doubted == ["f"]
