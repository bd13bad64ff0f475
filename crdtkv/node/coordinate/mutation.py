"""`Mutation`: one operation of a client, checked and placed."""

from typing import NamedTuple

from crdtkv.causality.context import CausalContext
from crdtkv.errors import CrdtkvError, Unavailable
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.kernel.step import Step
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.wire.messages import MutateRequest


class Mutation(NamedTuple):
    """The request, its requester, and how it is carried out.

    `read_first` is how many replicas to read before the write, 0 for none; `deadline_s` is monotonic.
    """

    requester: Requester
    request: MutateRequest
    key: PlacedKey
    seen: CausalContext | None
    responsibles: tuple[Responsible, ...]
    level: ConsistencyLevel
    required: int
    read_first: int
    ttl_ms: int
    deadline_s: float

    def refuse(self, step: Step, error: CrdtkvError) -> None:
        """Answer with an error."""
        self.requester.refuse(step, error)

    def refuse_unread(self, step: Step, error: CrdtkvError) -> None:
        """Answer that a read before the write has failed: nothing was written, and the client may retry."""
        required = self.read_first or getattr(error, "required", self.required)
        self.requester.refuse(step, Unavailable(required, getattr(error, "received", 0)))
