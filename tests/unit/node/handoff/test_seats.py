"""Who answers for a key: home replicas that are there, stand-ins for those that are not, and who keeps hints."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.kernel.seats import Seat, take_seats

HOMES = ("a", "b", "c")
WALK = ("d", "e")
EVERYBODY = frozenset(HOMES + WALK)


def seats(me: str, alive: str, sloppy: bool = False, uncounted: str = "") -> tuple[Seat, ...]:
    return take_seats(me, HOMES, uncounted, WALK, set(alive), sloppy)


def test_with_everybody_there_the_home_replicas_have_the_seats() -> None:
    assert seats("a", "abcde") == seats("a", "abcde", sloppy=True) == tuple(Seat(name, True, True) for name in HOMES)


def test_at_a_strict_level_the_coordinator_keeps_the_hints_and_the_seats_stay_empty() -> None:
    assert seats("a", "ade") == (Seat("a", True, True, ("b", "c")),)


def test_at_a_sloppy_level_the_walk_takes_the_seats_in_its_order() -> None:
    assert seats("a", "ade", sloppy=True) == (
        Seat("a", True, True),
        Seat("d", False, True, ("b",)),
        Seat("e", False, True, ("c",)),
    )


def test_when_the_walk_has_nobody_left_the_coordinator_keeps_the_hint() -> None:
    assert seats("a", "ae", sloppy=True) == (Seat("a", True, True, ("c",)), Seat("e", False, True, ("b",)))


def test_a_guest_takes_a_seat_of_its_own() -> None:
    assert seats("e", "de", sloppy=True) == (
        Seat("e", False, True, ("a", "c")),
        Seat("d", False, True, ("b",)),
    )


def test_a_guest_that_was_taken_for_one_by_mistake_still_holds_what_it_writes() -> None:
    assert Seat("d", False, True, ("a",)) in seats("d", "abcd", sloppy=True)


def test_at_a_strict_level_who_is_no_replica_has_no_seat() -> None:
    assert seats("d", "bcd") == (Seat("b", True, True), Seat("c", True, True))


def test_a_learner_has_its_seat_and_does_not_count() -> None:
    assert seats("a", "abcde", uncounted="b")[1] == Seat("b", True, False)


@given(st.sampled_from(sorted(EVERYBODY)), st.frozensets(st.sampled_from(sorted(EVERYBODY))), st.booleans())
def test_no_node_has_two_seats_and_nobody_absent_has_one(me: str, alive: frozenset[str], sloppy: bool) -> None:
    taken = take_seats(me, HOMES, (), WALK, alive | {me}, sloppy)
    nodes = [seat.node for seat in taken]
    assert len(set(nodes)) == len(nodes)
    assert set(nodes) <= alive | {me}
    targets = [target for seat in taken for target in seat.targets]
    assert len(set(targets)) == len(targets)
    if me in HOMES or sloppy:
        assert set(targets) >= {home for home in HOMES if home not in alive | {me}}
