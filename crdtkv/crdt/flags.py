"""`flag`: enable-wins. `dwflag`: disable-wins. Both begin as off.

A flag is a set that can hold one thing. Of `flag`, only the enables are kept that nothing has superseded; a disable
supersedes those it has seen, so one that was concurrent survives. Of `dwflag`, disables are kept as well, and as long
as there is one the flag is off; an enable takes back what it has seen.

Source: Shapiro et al. (2011); AntidoteDB's `flag_ew` and `flag_dw`.
"""

from typing import ClassVar

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.dotted import DottedState, superseding
from crdtkv.crdt.remove_wins_set import is_on, mark_from_wire
from crdtkv.errors import InvalidRequest


class EnableWinsFlag(DottedState[None]):
    """The dots of the enables."""

    type_tag: ClassVar[str] = "flag"
    operations: ClassVar[frozenset[str]] = frozenset(("enable", "disable", "delete"))
    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    payload_width: ClassVar[int] = 0
    __slots__ = ()

    def __repr__(self) -> str:
        return f"flag({'on' if self.is_on else 'off'})"

    @property
    def is_on(self) -> bool:
        """Whether an enable is left."""
        return bool(self.group)

    @classmethod
    def acts_on_seen(cls, operation: str, arguments: list[object]) -> bool:
        """Tell that all but enabling does."""
        return operation != "enable"

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `enable`, `disable` or `delete`, which is the same as `disable`."""
        if operation not in self.operations or arguments:
            raise InvalidRequest(f"a flag knows enable(), disable() and delete(), not {operation!r}")
        superseded = superseding(self.group, seen, [event.dot])
        return Delta(EnableWinsFlag({event.dot: None} if operation == "enable" else None), superseded)

    @classmethod
    def _payload_to_wire(cls, payload: None) -> list[object]:
        return []

    @classmethod
    def _payload_from_wire(cls, parts: list[object]) -> None:
        return None


class DisableWinsFlag(DottedState[bool]):
    """The marks under their dots: True for an enable, False for a disable."""

    type_tag: ClassVar[str] = "dwflag"
    operations: ClassVar[frozenset[str]] = frozenset(("enable", "disable", "delete"))
    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    payload_width: ClassVar[int] = 1
    __slots__ = ()

    def __repr__(self) -> str:
        return f"dwflag({'on' if self.is_on else 'off'})"

    @property
    def is_on(self) -> bool:
        """Whether there is an enable, and no disable."""
        return is_on(self.group)

    @property
    def is_empty(self) -> bool:
        """Whether it is off."""
        return not self.is_on

    @classmethod
    def acts_on_seen(cls, operation: str, arguments: list[object]) -> bool:
        """Tell that everything does: an enable takes back the disables it has seen."""
        return True

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `enable`, `disable`, or `delete`, which leaves nothing that wins."""
        if operation not in self.operations or arguments:
            raise InvalidRequest(f"a dwflag knows enable(), disable() and delete(), not {operation!r}")
        superseded = superseding(self.group, seen, [event.dot])
        marks = None if operation == "delete" else {event.dot: operation == "enable"}
        return Delta(DisableWinsFlag(marks), superseded)

    @classmethod
    def _payload_to_wire(cls, payload: bool) -> list[object]:
        return [int(payload)]

    @classmethod
    def _payload_from_wire(cls, parts: list[object]) -> bool:
        return mark_from_wire(parts)
