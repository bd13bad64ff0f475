"""The table: a join over the nodes of one ring, with the news at hand."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.membership.member import Member
from crdtkv.node.membership.table import MemberTable

ROWS = st.lists(
    st.builds(
        lambda node, generation, heartbeat, observers: Member(node, generation, heartbeat).with_suspicions(observers),
        st.sampled_from("abc"),
        st.integers(0, 2),
        st.integers(0, 2),
        st.lists(st.sampled_from("abc"), max_size=2),
    ),
    max_size=8,
)


def table_of(rows: list[Member]) -> MemberTable:
    table = MemberTable("abc")
    table.merge(rows)
    return table


def heard(*names: str) -> MemberTable:
    """Return a table that heard of these nodes in this order."""
    return table_of([Member(name, 1, 1) for name in names])


@given(ROWS, st.randoms())
def test_the_order_of_merging_does_not_matter(rows: list[Member], random: object) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert table_of(shuffled) == table_of(rows)


@given(ROWS)
def test_merging_again_changes_nothing_and_nothing_grows(rows: list[Member]) -> None:
    table = table_of(rows)
    assert table.merge(rows).grown == []
    assert table == table_of(rows)


@given(ROWS, ROWS)
def test_merging_whole_tables_is_merging_their_rows(one: list[Member], other: list[Member]) -> None:
    table = table_of(one)
    table.merge(table_of(other).newest(3))
    assert table == table_of(one + other)


@given(ROWS, ROWS)
def test_what_was_behind_and_what_grew_make_the_two_sides_equal(mine: list[Member], theirs: list[Member]) -> None:
    here, there = table_of(mine), table_of(theirs)
    there.merge(here.merge(there.newest(3)).behind)
    assert here == there


def test_growth_is_a_newer_heartbeat_and_not_a_new_doubt() -> None:
    table = heard("a", "b")
    merged = table.merge([Member("a", 1, 1).with_suspicions(["c"]), Member("b", 1, 2)])
    assert merged.grown == ["b"]
    assert repr(table) == "[a 1:1 doubted by c; b 1:2; c 0:0]"


def test_whoever_is_behind_is_told_what_is_known_here() -> None:
    table = heard("a", "b")
    behind = table.merge([Member("a", 1, 0), Member("b", 1, 1), Member("c", 0, 0)]).behind
    assert behind == [Member("a", 1, 1)]


def test_nothing_is_kept_about_strangers() -> None:
    table = MemberTable("ab")
    assert table.merge([Member("z", 9, 9)]).grown == []
    assert table.nodes == ["a", "b"]


def test_the_news_come_first() -> None:
    table = heard("c", "a", "b")
    table.merge([Member("c", 1, 2)])
    assert [row.node for row in table.newest(3)] == ["c", "b", "a"]
    assert [row.node for row in table.newest(2)] == ["c", "b"]


def test_what_is_not_wanted_leaves_room_for_older_news() -> None:
    assert [row.node for row in heard("c", "a", "b").newest(2, unless={"b"})] == ["a", "c"]


def test_a_new_ring_keeps_what_is_known_of_those_that_stay() -> None:
    table = heard("a", "b")
    table.follow("bd")
    assert repr(table) == "[b 1:1; d 0:0]"
    table.follow("abd")
    assert repr(table) == "[a 0:0; b 1:1; d 0:0]"
