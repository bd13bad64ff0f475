"""`Step`: the current step of a client core: its time, its effects so far, and its final actions.

Some decisions are made once per step: reads that begin together are sent as one message, and partitions that lose their
replica together are assigned together. Parts append such actions to `at_end`; `ClientCore` runs them.
"""

from collections.abc import Callable

from crdtkv.client.core.effects import Effects


class Step:
    """One object for all steps of a core; the core sets `now` and `effects` at the beginning of each step."""

    __slots__ = ("at_end", "effects", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.effects = Effects()
        self.at_end: list[Callable[[], None]] = []
