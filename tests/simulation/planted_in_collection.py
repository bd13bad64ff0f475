"""Planted bugs of tombstone collection; see `planted_bugs`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crdtkv.node.handoff.hints import Hints
from crdtkv.node.replica.replica import Replica
from crdtkv.node.tombstone_gc.collection import Collection, CollectionRound
from crdtkv.node.tombstone_gc.stability import Stability
from crdtkv.ring.token import token_in

from .planting import replaced


def tombstones_collected_by_time_only() -> Any:
    """A replica drops tombstones that are older than the grace, and asks no other node."""

    def wrong(self: Collection) -> None:
        if self._step.now.monotonic_s < self._next_at:
            return
        self._next_at = self._step.now.monotonic_s + self._config.interval_s
        for storage_key, noted in self._replica.tombstones.behind(b"", 100)[0]:
            entry = self._replica.entry(storage_key)
            if self._stability.is_old_enough(storage_key, noted) and entry is not None:
                if not entry.context.highest(self._replica.actor):
                    self._drop(storage_key)
                self._stability.needs_new_actor = True
        self._renew_actor()

    return replaced(Collection, "run_due", wrong)


def tombstones_collected_without_those_that_are_down() -> Any:
    """Only nodes that are alive are asked, and hints for those that are not do not matter."""

    def wrong(self: Collection, due: list[Any]) -> None:
        self._is_asking = True
        CollectionRound(self._kernel, self, due, sorted(self._cluster.alive)).start(*self._stability.judge(due))

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            replaced(Collection, "_ask", wrong),
            replaced(Hints, "has", lambda self, storage_key: False),
            replaced(Stability, "_hint_kept", lambda self, storage_key: None),
            replaced(
                CollectionRound,
                "_other_homes",
                lambda self, question: [
                    home
                    for home in self._cluster.ring.replicas_at(token_in(question.storage_key))
                    if home in self._cluster.alive
                ],
            ),
        ):
            yield

    return planted()


def collected_counters_reused() -> Any:
    """A node goes on under its name after it has dropped an entry with dots of its own: it counts from 1 again."""
    drop = Replica.drop

    def wrong(self: Replica, storage_key: bytes) -> None:
        name, self._write_actor.name = self._write_actor.name, "nobody"
        drop(self, storage_key)
        self._write_actor.name = name

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            replaced(Stability, "_names_own_dots", lambda self, storage_key: False),
            replaced(Replica, "drop", wrong),
        ):
            yield

    return planted()


def collection_that_ignores_a_hint() -> Any:
    """A node agrees to a tombstone although it holds a hint for the key, whose target has not received the delete."""

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            replaced(Hints, "has", lambda self, storage_key: False),
            replaced(Stability, "_hint_kept", lambda self, storage_key: None),
        ):
            yield

    return planted()


def collection_with_one_node_unasked() -> Any:
    """The last node of the ring is not asked, and receives nothing."""

    def wrong(self: Collection, due: list[Any]) -> None:
        self._is_asking = True
        others = [node.name for node in self._cluster.ring.topology.nodes if node.name != self._cluster.node]
        CollectionRound(self._kernel, self, due, others[:-1]).start(*self._stability.judge(due))

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            replaced(Collection, "_ask", wrong),
            replaced(
                CollectionRound,
                "_other_homes",
                lambda self, question: [
                    home
                    for home in self._cluster.ring.replicas_at(token_in(question.storage_key))
                    if home in self._others
                ],
            ),
        ):
            yield

    return planted()
