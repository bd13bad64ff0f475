"""Rows about one node: which of two holds, and what becomes of doubts. Joining is a join."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.membership.member import SUSPICIONS_MAX, Load, Member, joined

OBSERVERS = st.lists(st.sampled_from("abcde"), max_size=4)
# Few values for everything, so that rows collide: also the same heartbeat with another content.
MEMBERS = st.builds(
    lambda generation, heartbeat, incarnation, operations, observers: Member(
        "x", generation, heartbeat, incarnation, Load(operations)
    ).with_suspicions(observers),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 1),
    st.integers(0, 1),
    OBSERVERS,
)


@given(MEMBERS, MEMBERS)
def test_joining_is_commutative(one: Member, other: Member) -> None:
    assert joined(one, other) == joined(other, one)


@given(MEMBERS, MEMBERS, MEMBERS)
def test_joining_is_associative(one: Member, two: Member, three: Member) -> None:
    assert joined(joined(one, two), three) == joined(one, joined(two, three))


@given(MEMBERS, MEMBERS)
def test_joining_twice_changes_nothing(one: Member, other: Member) -> None:
    assert joined(one, one) is one
    assert joined(joined(one, other), other) == joined(one, other)


@given(MEMBERS, MEMBERS)
def test_a_join_is_never_older_than_its_parts(one: Member, other: Member) -> None:
    assert joined(one, other).version == max(one.version, other.version)


@given(MEMBERS, OBSERVERS)
def test_suspicions_are_sorted_distinct_and_bounded(member: Member, observers: list[str]) -> None:
    suspicions = member.with_suspicions(observers).suspicions
    assert list(suspicions) == sorted(set(suspicions))
    assert len(suspicions) <= SUSPICIONS_MAX


@pytest.mark.parametrize(
    ("one", "other", "winner"),
    [
        ((1, 5), (1, 6), (1, 6)),
        ((1, 900), (2, 1), (2, 1)),  # it was started again: its heartbeats begin anew
        ((2, 1), (1, 900), (2, 1)),
    ],
)
def test_the_later_generation_wins_then_the_later_heartbeat(
    one: tuple[int, int], other: tuple[int, int], winner: tuple[int, int]
) -> None:
    assert joined(Member("x", *one), Member("x", *other)).version == winner


def test_the_incarnation_orders_nothing() -> None:
    old, new = Member("x", 1, 7, incarnation=2**63), Member("x", 2, 1, incarnation=5)
    assert joined(old, new) is new


def test_a_newer_heartbeat_answers_every_doubt() -> None:
    doubted = Member("x", 1, 5).with_suspicions(["a", "b"])
    assert repr(joined(doubted, Member("x", 1, 6))) == "x 1:6"


def test_doubts_about_an_older_heartbeat_are_void() -> None:
    assert repr(joined(Member("x", 1, 6), Member("x", 1, 5).with_suspicions(["a", "b"]))) == "x 1:6"


def test_doubts_about_the_same_heartbeat_are_united() -> None:
    one, other = Member("x", 1, 5).with_suspicions(["b"]), Member("x", 1, 5).with_suspicions(["a"])
    assert repr(joined(one, other)) == "x 1:5 doubted by a, b"


@given(st.sets(st.sampled_from("abcde"), min_size=2), st.sampled_from("abcde"))
def test_two_names_are_enough_to_show_every_reader_another_doubter(observers: set[str], reader: str) -> None:
    suspicions = Member("x", 1, 5).with_suspicions(observers).suspicions
    assert any(observer != reader for observer in suspicions)
