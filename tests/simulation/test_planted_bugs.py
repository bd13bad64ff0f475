"""The checks are checked: mistakes that stores of this kind really made are planted, and must be found.

Each bug replaces one small piece of the product. How many seeds it takes to find it is bounded here.
"""

from collections.abc import Iterable

import pytest

from crdtkv.geo.outbox import Outbox
from crdtkv.node.effects import Effects
from crdtkv.node.geo_replication import GeoReplication
from crdtkv.sim.cluster import InvariantViolated, SimCluster
from crdtkv.sim.host import SimNode
from crdtkv.storage.memory import MemoryStore

SEEDS = 60


def _seeds_until_found(seeds: Iterable[int]) -> int:
    for count, seed in enumerate(seeds, 1):
        try:
            SimCluster(seed).run()
        except (InvariantViolated, AssertionError):
            return count
    pytest.fail(f"not found within {SEEDS} seeds")


def test_acknowledging_before_the_flush_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that should wait for the fsync leaves at once; crashes then lose acknowledged writes."""
    carry_out = SimNode._carry_out

    def too_early(self: SimNode, effects: Effects) -> None:
        self._release(effects)
        carry_out(self, Effects(at_once=effects.at_once, after_commit=effects.after_commit, notes=effects.notes))

    monkeypatch.setattr(SimNode, "_carry_out", too_early)
    assert _seeds_until_found(range(SEEDS)) <= SEEDS


def test_deleting_outbox_rows_on_the_acknowledgement_of_the_stream_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    published = GeoReplication.published

    def forgetting(self: GeoReplication, number: int, ok: bool) -> None:
        oseqs = self._in_flight.get(number, [])
        published(self, number, ok)
        if ok:
            for peer in self._outbox._peers:
                self._outbox.confirm(peer, oseqs)

    monkeypatch.setattr(GeoReplication, "published", forgetting)
    assert _seeds_until_found(range(SEEDS)) <= SEEDS


def test_never_sending_lost_rows_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "republish_lost", lambda self, datacenter, sent_before: 0)
    assert _seeds_until_found(range(SEEDS)) <= SEEDS


def test_minting_dots_from_memory_instead_of_from_what_is_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that forgets synced commits makes a node issue a dot twice."""

    def forgetful(self: MemoryStore, commit: int) -> None:
        del self._unsynced[: max(0, commit - (self.commits - len(self._unsynced)))]

    monkeypatch.setattr(MemoryStore, "sync_to", forgetful)
    assert _seeds_until_found(range(SEEDS)) <= SEEDS
