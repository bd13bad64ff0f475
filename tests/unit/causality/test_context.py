"""Causal contexts: sets of dots with one representation each, gaps included, and a wire form that is checked."""

import pytest
from damaged import damaged
from hypothesis import given
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, MAX_ACTOR_LENGTH, MAX_COUNTER, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.version_vector import VersionVector
from crdtkv.errors import InvalidRequest

DOTS = st.builds(Dot, st.sampled_from("abc"), st.integers(1, 6))
DOT_SETS = st.frozensets(DOTS, max_size=12)


def context_of(*dots: tuple[str, int]) -> CausalContext:
    return CausalContext(cloud=[Dot(*dot) for dot in dots])


def test_the_repr_of_a_dot_is_its_actor_and_counter() -> None:
    assert repr(Dot("eu-1.9f", 3)) == "eu-1.9f:3"


def test_a_run_from_one_on_is_kept_as_a_vector() -> None:
    assert repr(context_of(("a", 2), ("a", 1), ("b", 1))) == "{a:2, b:1}"


def test_a_dot_behind_a_gap_does_not_claim_the_gap() -> None:
    context = context_of(("a", 1), ("a", 2), ("a", 4))
    assert repr(context) == "{a:2} +a:4"
    assert Dot("a", 4) in context
    assert Dot("a", 3) not in context
    assert Dot("a", 5) not in context


def test_the_dot_that_fills_a_gap_joins_both_sides_of_it() -> None:
    context = context_of(("a", 1), ("a", 3), ("a", 4), ("a", 6))
    assert repr(context.with_dot(Dot("a", 2))) == "{a:4} +a:6"


def test_a_merge_fills_the_gaps_of_both_sides() -> None:
    one, other = context_of(("a", 1), ("a", 3)), context_of(("a", 2), ("b", 2))
    assert repr(one.merge(other)) == "{a:3} +b:2"


def test_a_vector_swallows_the_cloud_it_covers() -> None:
    context = CausalContext(VersionVector({"a": 5}), [Dot("a", 3), Dot("a", 5), Dot("a", 6), Dot("a", 8)])
    assert repr(context) == "{a:6} +a:8"


def test_seeing_a_known_dot_again_changes_nothing() -> None:
    context = context_of(("a", 1), ("a", 2), ("b", 7))
    assert context.with_dot(Dot("a", 1)) == context
    assert context.with_dot(Dot("b", 7)) == context


def test_the_highest_counter_may_lie_behind_a_gap() -> None:
    context = context_of(("a", 1), ("a", 4), ("a", 9), ("b", 12))
    assert context.highest("a") == 9
    assert context.highest("b") == 12
    assert context.highest("c") == 0


def test_a_vector_that_covers_the_others_gap_descends_it() -> None:
    whole, with_gap = context_of(("a", 1), ("a", 2), ("a", 3)), context_of(("a", 1), ("a", 3))
    assert whole.descends(with_gap)
    assert not with_gap.descends(whole)


def test_two_contexts_with_different_gaps_descend_neither_way() -> None:
    one, other = context_of(("a", 1), ("a", 3)), context_of(("a", 1), ("a", 4))
    assert not one.descends(other)
    assert not other.descends(one)


def test_only_a_context_without_dots_is_false() -> None:
    assert not EMPTY
    assert context_of(("a", 1))
    assert context_of(("a", 2))


def test_dots_are_yielded_sorted_also_when_some_lie_behind_gaps() -> None:
    context = context_of(("a", 3), ("b", 1), ("b", 2), ("c", 1), ("c", 4))
    assert list(context.dots()) == [("a", 3), ("b", 1), ("b", 2), ("c", 1), ("c", 4)]


def test_a_context_is_no_version_vector() -> None:
    assert CausalContext(VersionVector({"a": 1})) != VersionVector({"a": 1})


@given(st.permutations([Dot("a", 1), Dot("a", 2), Dot("a", 4), Dot("b", 2), Dot("b", 3)]))
def test_the_order_in_which_dots_arrive_leaves_no_trace(dots: list[Dot]) -> None:
    context = EMPTY
    for dot in dots:
        context = context.with_dot(dot)
    assert repr(context) == "{a:2} +a:4 +b:2 +b:3"


@given(DOT_SETS)
def test_a_context_is_the_set_of_its_dots(dots: frozenset[Dot]) -> None:
    context = CausalContext(cloud=dots)
    assert set(context.dots()) == dots
    assert {Dot(actor, n) for actor in "abcd" for n in range(1, 8) if Dot(actor, n) in context} == dots
    assert bool(context) == bool(dots)


@given(DOT_SETS)
def test_a_context_is_compact(dots: frozenset[Dot]) -> None:
    context = CausalContext(cloud=dots)
    assert all(dot.counter > context.vector[dot.actor] + 1 for dot in context.cloud)


@given(DOT_SETS, DOT_SETS)
def test_a_merge_is_the_union(mine: frozenset[Dot], theirs: frozenset[Dot]) -> None:
    merged = CausalContext(cloud=mine).merge(CausalContext(cloud=theirs))
    assert merged == CausalContext(cloud=mine | theirs)
    assert repr(merged) == repr(CausalContext(cloud=mine | theirs))


@given(DOT_SETS, DOTS)
def test_one_more_dot_is_the_union_with_it(dots: frozenset[Dot], dot: Dot) -> None:
    assert CausalContext(cloud=dots).with_dot(dot) == CausalContext(cloud=dots | {dot})


@given(DOT_SETS, DOT_SETS)
def test_descending_is_containing_every_dot(mine: frozenset[Dot], theirs: frozenset[Dot]) -> None:
    assert CausalContext(cloud=mine).descends(CausalContext(cloud=theirs)) == (mine >= theirs)


@given(DOT_SETS, DOT_SETS)
def test_contexts_are_equal_when_their_dots_are(mine: frozenset[Dot], theirs: frozenset[Dot]) -> None:
    one, other = CausalContext(cloud=mine), CausalContext(cloud=theirs)
    assert (one == other) == (mine == theirs)
    assert (cbor.encode(one.to_wire()) == cbor.encode(other.to_wire())) == (mine == theirs)
    if mine == theirs:
        assert hash(one) == hash(other)


@given(DOT_SETS)
def test_the_highest_counter_is_that_of_the_set(dots: frozenset[Dot]) -> None:
    context = CausalContext(cloud=dots)
    for actor in "abcd":
        assert context.highest(actor) == max((dot.counter for dot in dots if dot.actor == actor), default=0)


@given(DOT_SETS)
def test_what_went_over_the_wire_is_the_same_context(dots: frozenset[Dot]) -> None:
    context = CausalContext(cloud=dots)
    received = CausalContext.from_wire(cbor.decode(cbor.encode(context.to_wire())))
    assert received == context
    assert repr(received) == repr(context)


@given(DOT_SETS)
def test_a_damaged_context_is_refused_or_is_another_canonical_one(dots: frozenset[Dot]) -> None:
    for wire in damaged(CausalContext(cloud=dots).to_wire()):
        try:
            parsed = CausalContext.from_wire(wire)
        except InvalidRequest:
            continue
        assert cbor.encode(parsed.to_wire()) == cbor.encode(wire)
        assert parsed == CausalContext(parsed.vector, parsed.cloud)


@pytest.mark.parametrize(
    ("vector", "cloud"),
    [
        pytest.param({"a": 2}, [("a", 2)], id="covered by the vector"),
        pytest.param({"a": 2}, [("a", 3)], id="continues the vector"),
        pytest.param({}, [("a", 1)], id="begins a vector"),
        pytest.param({"a": 2}, [("a", 1), ("a", 5)], id="covered beside a gap"),
    ],
)
def test_a_context_that_is_not_compact_is_refused(vector: dict[str, int], cloud: list[tuple[str, int]]) -> None:
    # No method builds such a context, so its parts are taken from good ones: vector and cloud look alike on the wire.
    vector_part = CausalContext(VersionVector(vector)).to_wire()[0]
    cloud_part = [part for dot in cloud for half in context_of(dot).to_wire() for part in half]
    wire = [vector_part, cloud_part]
    with pytest.raises(InvalidRequest):
        CausalContext.from_wire(wire)


@pytest.mark.parametrize(
    ("dot", "is_accepted"),
    [
        pytest.param(("a", MAX_COUNTER), True, id="the highest counter"),
        pytest.param(("a", MAX_COUNTER + 1), False, id="past the highest counter"),
        pytest.param(("a" * MAX_ACTOR_LENGTH, 7), True, id="the longest actor"),
        pytest.param(("a" * (MAX_ACTOR_LENGTH + 1), 7), False, id="past the longest actor"),
    ],
)
@pytest.mark.parametrize("has_gap", [False, True])
def test_dots_on_the_wire_are_bounded(dot: tuple[str, int], is_accepted: bool, has_gap: bool) -> None:
    context = context_of(dot) if has_gap else CausalContext(VersionVector(dict([dot])))
    if is_accepted:
        assert CausalContext.from_wire(context.to_wire()) == context
    else:
        with pytest.raises(InvalidRequest):
            CausalContext.from_wire(context.to_wire())


@pytest.mark.parametrize("wire", [None, 0, "", b"", [], [[]], {}, [[], [], []], [[], None], [{}, []]])
def test_what_is_no_context_at_all_is_refused(wire: object) -> None:
    with pytest.raises(InvalidRequest):
        CausalContext.from_wire(wire)
