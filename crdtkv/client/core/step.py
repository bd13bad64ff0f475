"""`Step`: what belongs to the step that a client core makes now: the time, the effects so far, and what ends the step.

Some things are decided once for a whole step: reads that began together leave as one message, and partitions that lost
their replica together begin elsewhere together. Parts enter them with `at_end`.
"""

from collections.abc import Callable

from crdtkv.client.core.effects import Effects


class Step:
    """One object for all steps of a core: `begin` replaces the time and the effects."""

    def __init__(self) -> None:
        self.now = 0.0
        self.effects = Effects()
        self._at_end: list[Callable[[], None]] = []

    def begin(self, now: float) -> Effects:
        """Begin a step; return its effects, which the parts fill."""
        self.now = now
        self.effects = Effects()
        return self.effects

    def at_end(self, act: Callable[[], None]) -> None:
        """Do something when all events of this step were handled."""
        self._at_end.append(act)

    def end(self) -> None:
        """Do what was left to the end of the step, and what that leaves to it."""
        while self._at_end:
            due, self._at_end = self._at_end, []
            for act in due:
                act()
