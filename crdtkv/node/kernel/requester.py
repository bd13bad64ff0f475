"""Who asked: where a client's answer goes, and under which labels it is counted."""

from typing import NamedTuple

from crdtkv.errors import CrdtkvError, StorageError
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.step import Step
from crdtkv.wire.messages import ErrorReply, Message


class Requester(NamedTuple):
    """One client request as the node that answers it sees it; `started_s` is its arrival, monotonic."""

    peer: Peer
    id: int
    kind: str
    level: str
    started_s: float

    def reply(self, step: Step, message: Message, is_durable: bool) -> None:
        """Answer; `is_durable` says that nothing in the answer could still be lost."""
        step.answer(self.peer, message, is_durable)
        step.stats.request(self.kind, self.level, "ok", step.now.monotonic_s - self.started_s)

    def refuse(self, step: Step, error: CrdtkvError) -> None:
        """Answer with an error.

        Raises:
            StorageError: the error is one; the process must stop, its disk is not to be believed any more.
        """
        if isinstance(error, StorageError):
            raise error
        step.effects.send(self.peer, ErrorReply(self.id, error.code, list(error.fields)))
        step.stats.request(self.kind, self.level, error.code, step.now.monotonic_s - self.started_s)
