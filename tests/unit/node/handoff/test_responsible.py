"""Responsible replicas: home replicas that are alive, fallback replicas for the others, and who stores hints."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.kernel.responsible import Responsible, responsibles_of

HOMES = ("a", "b", "c")
WALK = ("d", "e")
EVERYBODY = frozenset(HOMES + WALK)


def responsibles(me: str, alive: str, sloppy: bool = False, uncounted: str = "") -> tuple[Responsible, ...]:
    return responsibles_of(me, HOMES, uncounted, WALK, set(alive), sloppy)


def test_with_everybody_there_the_home_replicas_have_the_seats() -> None:
    assert (
        responsibles("a", "abcde")
        == responsibles("a", "abcde", sloppy=True)
        == tuple(Responsible(name, True, True) for name in HOMES)
    )


def test_at_a_strict_level_the_coordinator_keeps_the_hints_and_the_seats_stay_empty() -> None:
    assert responsibles("a", "ade") == (Responsible("a", True, True, ("b", "c")),)


def test_at_a_sloppy_level_the_walk_takes_the_seats_in_its_order() -> None:
    assert responsibles("a", "ade", sloppy=True) == (
        Responsible("a", True, True),
        Responsible("d", False, True, ("b",)),
        Responsible("e", False, True, ("c",)),
    )


def test_when_the_walk_has_nobody_left_the_coordinator_keeps_the_hint() -> None:
    assert responsibles("a", "ae", sloppy=True) == (
        Responsible("a", True, True, ("c",)),
        Responsible("e", False, True, ("b",)),
    )


def test_a_guest_takes_a_seat_of_its_own() -> None:
    assert responsibles("e", "de", sloppy=True) == (
        Responsible("e", False, True, ("a", "c")),
        Responsible("d", False, True, ("b",)),
    )


def test_a_guest_that_was_taken_for_one_by_mistake_still_holds_what_it_writes() -> None:
    assert Responsible("d", False, False, ("a",)) in responsibles("d", "abcd", sloppy=True)


def test_a_fallback_replica_counts_only_in_the_place_of_an_absent_one() -> None:
    """Its hint goes to its target: if that counts as well, one copy would count twice (seed 610000664)."""
    for alive in ("abcd", "acd", "cd", "d"):
        taken = responsibles("d", alive, sloppy=True)
        counted = [responsible for responsible in taken if responsible.is_counted]
        targets = {target for responsible in counted for target in responsible.targets}
        assert not targets & {responsible.node for responsible in counted}, alive


def test_at_a_strict_level_who_is_no_replica_has_no_seat() -> None:
    assert responsibles("d", "bcd") == (Responsible("b", True, True), Responsible("c", True, True))


def test_a_learner_has_its_seat_and_does_not_count() -> None:
    assert responsibles("a", "abcde", uncounted="b")[1] == Responsible("b", True, False)


@given(st.sampled_from(sorted(EVERYBODY)), st.frozensets(st.sampled_from(sorted(EVERYBODY))), st.booleans())
def test_no_node_has_two_seats_and_nobody_absent_has_one(me: str, alive: frozenset[str], sloppy: bool) -> None:
    taken = responsibles_of(me, HOMES, (), WALK, alive | {me}, sloppy)
    nodes = [responsible.node for responsible in taken]
    assert len(set(nodes)) == len(nodes)
    assert set(nodes) <= alive | {me}
    targets = [target for responsible in taken for target in responsible.targets]
    assert len(set(targets)) == len(targets)
    if me in HOMES or sloppy:
        assert set(targets) >= {home for home in HOMES if home not in alive | {me}}
