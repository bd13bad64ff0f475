"""Version vectors: the product order, and the merge that is its least upper bound."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.causality.version_vector import VersionVector

VECTORS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)).map(VersionVector)


def test_what_was_never_counted_stands_at_zero() -> None:
    assert VersionVector({"a": 2})["b"] == 0


def test_an_actor_at_zero_is_the_same_as_an_absent_one() -> None:
    vector = VersionVector({"a": 0, "b": 1})
    assert vector == VersionVector({"b": 1})
    assert hash(vector) == hash(VersionVector({"b": 1}))
    assert list(vector) == ["b"]
    assert len(vector) == 1


def test_the_repr_and_the_items_are_sorted_by_actor() -> None:
    vector = VersionVector({"b": 1, "a": 2})
    assert repr(vector) == "{a:2, b:1}"
    assert vector.items() == [("a", 2), ("b", 1)]
    assert list(vector) == ["a", "b"]


def test_a_vector_is_no_plain_dictionary() -> None:
    assert VersionVector({"a": 1}) != {"a": 1}


def test_who_knows_more_of_one_actor_and_less_of_another_is_concurrent() -> None:
    one, other = VersionVector({"a": 2, "b": 1}), VersionVector({"a": 1, "b": 2})
    assert one.concurrent(other)
    assert other.concurrent(one)
    assert not one.descends(other)
    assert not other.descends(one)


def test_who_knows_as_much_and_more_dominates() -> None:
    older, newer = VersionVector({"a": 1}), VersionVector({"a": 1, "b": 1})
    assert newer.dominates(older)
    assert not older.dominates(newer)
    assert not newer.dominates(newer)


def test_counting_on_leaves_the_vector_it_began_from_alone() -> None:
    before = VersionVector({"a": 1})
    assert repr(before.with_counter("a", 2)) == "{a:2}"
    assert repr(before.with_counter("b", 1)) == "{a:1, b:1}"
    assert repr(before) == "{a:1}"


def test_the_source_of_a_vector_may_change_later_without_changing_it() -> None:
    counters = {"a": 1}
    vector = VersionVector(counters)
    counters["a"] = 9
    assert vector["a"] == 1


@given(VECTORS)
def test_every_vector_descends_itself_and_the_empty_one(vector: VersionVector) -> None:
    assert vector.descends(vector)
    assert vector.descends(VersionVector())
    assert not vector.dominates(vector)


@given(VECTORS, VECTORS)
def test_vectors_that_descend_each_other_are_equal(one: VersionVector, other: VersionVector) -> None:
    assert (one.descends(other) and other.descends(one)) == (one == other)


@given(VECTORS, VECTORS, VECTORS)
def test_descending_is_transitive(one: VersionVector, two: VersionVector, three: VersionVector) -> None:
    two = two.merge(three)
    one = one.merge(two)
    assert one.descends(two)
    assert two.descends(three)
    assert one.descends(three)


@given(VECTORS, VECTORS)
def test_exactly_one_of_equal_dominating_dominated_and_concurrent_holds(
    one: VersionVector, other: VersionVector
) -> None:
    assert [one == other, one.dominates(other), other.dominates(one), one.concurrent(other)].count(True) == 1


@given(VECTORS, VECTORS)
def test_the_order_is_that_of_every_counter(one: VersionVector, other: VersionVector) -> None:
    assert one.descends(other) == all(one[actor] >= other[actor] for actor in "abc")


@given(VECTORS, VECTORS)
def test_a_merge_is_the_greater_of_every_counter(one: VersionVector, other: VersionVector) -> None:
    merged = one.merge(other)
    assert [merged[actor] for actor in "abc"] == [max(one[actor], other[actor]) for actor in "abc"]
    assert all(counter > 0 for _, counter in merged.items())


@given(VECTORS, VECTORS, VECTORS)
def test_a_merge_is_the_least_vector_that_descends_both(
    one: VersionVector, other: VersionVector, third: VersionVector
) -> None:
    merged = one.merge(other)
    assert merged.descends(one)
    assert merged.descends(other)
    assert third.descends(merged) == (third.descends(one) and third.descends(other))


@given(VECTORS, VECTORS)
def test_equal_vectors_have_equal_hashes_and_reprs(one: VersionVector, other: VersionVector) -> None:
    assert (repr(one) == repr(other)) == (one == other)
    if one == other:
        assert hash(one) == hash(other)
