"""`flag`: enable-wins. `dwflag`: disable-wins. Both begin as off.

A flag is a set that can hold one thing. Of `flag`, only the enables are kept that nothing has superseded; a disable
supersedes those it has seen, so one that was concurrent survives. Of `dwflag`, disables are kept as well, and as long
as there is one the flag is off; an enable takes back what it has seen.

Source: Shapiro et al. (2011); AntidoteDB's `flag_ew` and `flag_dw`.
"""

from abc import abstractmethod
from typing import ClassVar, TypeVar

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.dotted import Dotted, DottedState, Payload, superseding
from crdtkv.crdt.marks import DOTS_ALONE, MARKS, is_on
from crdtkv.errors import InvalidRequest

P = TypeVar("P")


class _Flag(DottedState[P]):
    """A flag; it says what an operation leaves under its dot, and what all that is left comes to."""

    type_tag: ClassVar[str]
    operations: ClassVar[frozenset[str]] = frozenset(("enable", "disable", "delete"))
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self.type_tag}({'on' if self.is_on else 'off'})"

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether it is on."""

    @property
    def is_empty(self) -> bool:
        """Whether it is off."""
        return not self.is_on

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Tell that every operation does."""
        return True

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `enable`, `disable` or `delete`, which leaves nothing."""
        if operation not in self.operations or arguments:
            raise InvalidRequest(f"a {self.type_tag} knows enable(), disable() and delete(), not {operation!r}")
        state = type(self)(self._left_by(operation, event.dot))
        return Delta(state, superseding(self.group, seen, [event.dot]))

    @classmethod
    @abstractmethod
    def _left_by(cls, operation: str, dot: Dot) -> Dotted[P]: ...


class EnableWinsFlag(_Flag[None]):
    """The dots of the enables."""

    type_tag: ClassVar[str] = "flag"
    payload: ClassVar[Payload[None]] = DOTS_ALONE
    __slots__ = ()

    @property
    def is_on(self) -> bool:
        """Whether an enable is left."""
        return bool(self.group)

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Tell that all but enabling does."""
        return operation != "enable"

    @classmethod
    def _left_by(cls, operation: str, dot: Dot) -> Dotted[None]:
        return {dot: None} if operation == "enable" else {}


class DisableWinsFlag(_Flag[bool]):
    """The marks under their dots: True for an enable, False for a disable."""

    type_tag: ClassVar[str] = "dwflag"
    payload: ClassVar[Payload[bool]] = MARKS
    __slots__ = ()

    @property
    def is_on(self) -> bool:
        """Whether there is an enable, and no disable."""
        return is_on(self.group)

    @classmethod
    def _left_by(cls, operation: str, dot: Dot) -> Dotted[bool]:
        return {} if operation == "delete" else {dot: operation == "enable"}
