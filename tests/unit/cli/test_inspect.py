"""The verdict of `crdtkv inspect`: home replicas agree, differ, or cannot all be asked."""

from crdtkv.cli.inspect import Holding, verdict_on
from crdtkv.client.client import Held

SOME, OTHER, NOTHING = Held(b"some"), Held(b"other"), Held(None)


def rows(*held: Held | None, homes: int = 3) -> list[Holding]:
    return [Holding("eu", f"eu-{n}", n <= homes, False, one) for n, one in enumerate(held, 1)]


def test_equal_bytes_on_all_home_replicas_are_agreement() -> None:
    assert verdict_on(rows(SOME, SOME, SOME)) == (True, ["all 3 home replicas hold the same"])
    assert verdict_on(rows(NOTHING, NOTHING, NOTHING)) == (True, ["all 3 home replicas hold nothing"])


def test_who_holds_what_is_told_when_they_differ() -> None:
    is_agreed, (line,) = verdict_on(rows(SOME, OTHER, NOTHING))
    assert not is_agreed
    assert line.startswith("home replicas differ: ")
    assert line.count(" on eu-") == 3
    assert line.endswith("; nothing on eu-3")


def test_a_replica_that_does_not_answer_leaves_it_open() -> None:
    assert verdict_on(rows(SOME, None, SOME)) == (False, ["2 of 3 home replicas hold the same", "no answer from eu-2"])
    assert verdict_on(rows(None, None, None)) == (False, ["no answer from eu-1, eu-2, eu-3"])


def test_the_answer_of_a_fallback_replica_is_no_disagreement() -> None:
    assert verdict_on(rows(SOME, SOME, OTHER, homes=2)) == (True, ["all 2 home replicas hold the same"])
    assert verdict_on(rows(SOME, SOME, None, homes=2)).is_agreed


def test_roles_say_what_a_node_is_to_the_key() -> None:
    roles = [row.role for row in rows(SOME, NOTHING, OTHER, NOTHING, homes=2)]
    assert roles == ["replica", "replica", "fallback replica, with a hint", "no replica"]
    assert Holding("eu", "eu-1", True, True, SOME).role == "replica, learner"
