"""`Step`: what belongs to the step that a client core makes now: the time, the effects so far, and what ends the step.

Some things are decided once for a whole step: reads that began together leave as one message, and partitions that lost
their replica together begin elsewhere together. Parts append that to `at_end`, which `ClientCore` runs.
"""

from collections.abc import Callable

from crdtkv.client.core.effects import Effects


class Step:
    """One object for all steps of a core, which sets the time and the effects of each."""

    __slots__ = ("at_end", "effects", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.effects = Effects()
        self.at_end: list[Callable[[], None]] = []
