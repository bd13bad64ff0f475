"""Responsible replicas: home replicas that are alive, fallback replicas for the others, and who stores hints."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.kernel.responsible import Responsible, responsibles_of

HOMES = ("a", "b", "c")
WALK = ("d", "e")
ALL_NODES = frozenset(HOMES + WALK)


def responsibles(me: str, alive: str, sloppy: bool = False, uncounted: str = "") -> tuple[Responsible, ...]:
    return responsibles_of(me, HOMES, uncounted, WALK, set(alive), sloppy)


def test_with_all_nodes_alive_the_home_replicas_are_responsible() -> None:
    assert (
        responsibles("a", "abcde")
        == responsibles("a", "abcde", sloppy=True)
        == tuple(Responsible(name, True, True) for name in HOMES)
    )


def test_at_a_strict_level_the_coordinator_stores_the_hints_and_no_fallback_replica_is_responsible() -> None:
    assert responsibles("a", "ade") == (Responsible("a", True, True, ("b", "c")),)


def test_at_a_sloppy_level_fallback_replicas_are_responsible_in_the_order_of_the_walk() -> None:
    assert responsibles("a", "ade", sloppy=True) == (
        Responsible("a", True, True),
        Responsible("d", False, True, ("b",)),
        Responsible("e", False, True, ("c",)),
    )


def test_when_the_walk_has_no_node_left_the_coordinator_stores_the_hint() -> None:
    assert responsibles("a", "ae", sloppy=True) == (
        Responsible("a", True, True, ("c",)),
        Responsible("e", False, True, ("b",)),
    )


def test_a_fallback_coordinator_is_responsible_itself() -> None:
    assert responsibles("e", "de", sloppy=True) == (
        Responsible("e", False, True, ("a", "c")),
        Responsible("d", False, True, ("b",)),
    )


def test_a_node_that_coordinates_by_mistake_still_stores_its_writes() -> None:
    assert Responsible("d", False, False, ("a",)) in responsibles("d", "abcd", sloppy=True)


def test_a_fallback_replica_counts_only_in_the_place_of_an_absent_one() -> None:
    """Its hint goes to its target: if that counts as well, one copy would count twice (seed 610000664)."""
    for alive in ("abcd", "acd", "cd", "d"):
        taken = responsibles("d", alive, sloppy=True)
        counted = [responsible for responsible in taken if responsible.is_counted]
        targets = {target for responsible in counted for target in responsible.targets}
        assert not targets & {responsible.node for responsible in counted}, alive


def test_at_a_strict_level_a_node_that_is_no_replica_is_not_responsible() -> None:
    assert responsibles("d", "bcd") == (Responsible("b", True, True), Responsible("c", True, True))


def test_a_learner_is_responsible_and_does_not_count() -> None:
    assert responsibles("a", "abcde", uncounted="b")[1] == Responsible("b", True, False)


@given(st.sampled_from(sorted(ALL_NODES)), st.frozensets(st.sampled_from(sorted(ALL_NODES))), st.booleans())
def test_no_node_is_responsible_twice_and_no_absent_node_is(me: str, alive: frozenset[str], sloppy: bool) -> None:
    taken = responsibles_of(me, HOMES, (), WALK, alive | {me}, sloppy)
    nodes = [responsible.node for responsible in taken]
    assert len(set(nodes)) == len(nodes)
    assert set(nodes) <= alive | {me}
    targets = [target for responsible in taken for target in responsible.targets]
    assert len(set(targets)) == len(targets)
    if me in HOMES or sloppy:
        assert set(targets) >= {home for home in HOMES if home not in alive | {me}}
