"""What a step holds back leaves after a sync that began after its commit, in the order of the steps, or never."""

from random import Random

import pytest

from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.group_commit import GroupCommit
from crdtkv.storage.memory import MemoryStore


def step(commit: int) -> Effects:
    """The effects of a step that may leave when this commit is durable; 0: when everything is."""
    return Effects(after_commit=commit)


def commits(released: list[Effects]) -> list[int]:
    return [effects.after_commit for effects in released]


def test_a_step_of_which_everything_is_durable_leaves_at_once_and_wants_no_sync() -> None:
    group = GroupCommit()
    assert commits(group.stepped(step(0))) == [0]
    assert not group.begin_sync()


def test_a_step_that_committed_waits_for_its_sync() -> None:
    group = GroupCommit()
    assert group.stepped(step(1)) == []
    assert group.begin_sync()
    assert commits(group.sync_ended(is_durable=True)) == [1]
    assert group.durable == 1
    assert not group.begin_sync(), "nothing is left to sync"


def test_nothing_leaves_because_a_sync_has_only_begun() -> None:
    group = GroupCommit()
    group.stepped(step(1))
    group.begin_sync()
    assert group.stepped(step(1)) == []
    assert group.durable == 0


def test_a_sync_does_not_cover_what_was_committed_after_it_began() -> None:
    group = GroupCommit()
    group.stepped(step(1))
    group.begin_sync()
    assert group.stepped(step(2)) == []
    assert commits(group.sync_ended(is_durable=True)) == [1]
    assert group.durable == 1
    assert group.begin_sync(), "the second step is still to be synced"
    assert commits(group.sync_ended(is_durable=True)) == [2]


def test_steps_that_committed_while_a_sync_was_under_way_share_the_next_one() -> None:
    group = GroupCommit()
    group.stepped(step(1))
    group.begin_sync()
    for commit in (2, 3, 4):
        group.stepped(step(commit))
    assert not group.begin_sync(), "one sync at a time"
    group.sync_ended(is_durable=True)
    assert group.begin_sync()
    assert commits(group.sync_ended(is_durable=True)) == [2, 3, 4]


def test_a_step_that_wrote_nothing_but_may_reveal_a_write_leaves_with_it() -> None:
    group = GroupCommit()
    writes, reads = step(1), step(1)
    group.stepped(writes)
    group.begin_sync()
    group.stepped(reads)
    released = group.sync_ended(is_durable=True)
    assert [id(effects) for effects in released] == [id(writes), id(reads)]


def test_a_step_does_not_overtake_an_earlier_one_that_waits() -> None:
    group = GroupCommit()
    group.stepped(step(1))
    assert group.stepped(step(0)) == []
    group.begin_sync()
    assert commits(group.sync_ended(is_durable=True)) == [1, 0]


def test_a_step_after_a_commit_that_is_durable_already_needs_no_sync() -> None:
    """The core has not been told yet."""
    group = GroupCommit()
    group.stepped(step(1))
    group.begin_sync()
    group.sync_ended(is_durable=True)
    assert commits(group.stepped(step(1))) == [1]
    assert not group.begin_sync()


def test_after_a_failed_sync_nothing_leaves_and_no_sync_is_wanted() -> None:
    group = GroupCommit()
    group.stepped(step(1))
    group.begin_sync()
    group.stepped(step(2))
    assert group.sync_ended(is_durable=False) == []
    assert not group.is_syncing
    assert not group.begin_sync()
    assert group.stepped(step(0)) == [], "the process is about to end"
    assert group.stepped(step(3)) == []
    assert not group.begin_sync()
    assert group.durable == 0


def test_after_a_failed_commit_not_even_what_the_sync_under_way_covers_leaves() -> None:
    group = GroupCommit()
    group.stepped(step(1))
    group.begin_sync()
    group.fail()
    assert group.is_syncing, "the host waits for it before it closes the disk"
    assert group.sync_ended(is_durable=True) == []
    assert (group.is_syncing, group.durable) == (False, 0)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_leaves_is_on_the_disk_once_and_in_order(seed: int) -> None:
    """Steps and syncs in any order, against a store that knows what a power loss would take."""
    random, group, store = Random(seed), GroupCommit(), MemoryStore()
    made: list[Effects] = []
    left: list[Effects] = []
    covers = 0

    def leave(released: list[Effects]) -> None:
        for effects in released:
            assert store.commits - store.unsynced >= effects.after_commit
        left.extend(released)

    for _ in range(300):
        if random.random() < 0.6:
            if random.random() < 0.5:
                store.put(b"row", b"value")
                store.commit()
            made.append(step(store.commits if group.durable < store.commits else 0))
            leave(group.stepped(made[-1]))
        elif group.is_syncing:
            store.sync_to(covers)
            leave(group.sync_ended(is_durable=True))
        elif group.begin_sync():
            covers = store.commits
    assert [id(effects) for effects in left] == [id(effects) for effects in made[: len(left)]]
    assert len(left) > 50
