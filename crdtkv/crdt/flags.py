"""`flag`: enable-wins. `dwflag`: disable-wins. Both begin as off.

A flag is a set of at most one element. `flag` keeps only the enables that nothing has superseded; a disable supersedes
those it has seen, so a concurrent enable survives. `dwflag` keeps disables as well, and the flag is off as long as
there is one; an enable supersedes the disables it has seen.

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
    """A flag; subclasses define what an operation stores under its dot, and when the flag is on."""

    type_tag: ClassVar[str]
    operations: ClassVar[frozenset[str]] = frozenset(("enable", "disable", "delete"))
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self.type_tag}({'on' if self.is_on else 'off'})"

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether the flag is on."""

    @property
    def is_empty(self) -> bool:
        """Whether the flag is off."""
        return not self.is_on

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true: every operation does."""
        return True

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `enable`, `disable` or `delete`; a delete stores no dot."""
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
        """Return true for all operations but an enable."""
        return operation != "enable"

    @classmethod
    def _left_by(cls, operation: str, dot: Dot) -> Dotted[None]:
        return {dot: None} if operation == "enable" else {}


class DisableWinsFlag(_Flag[bool]):
    """Marks under the dots of operations: True for an enable, False for a disable."""

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
