"""How a try ends without a result: the failures that only the client knows, and those after which it tries again."""

from crdtkv.errors import (
    CrdtkvError,
    InsufficientStorage,
    NoNodeReachable,
    Overloaded,
    StaleReplica,
    Unavailable,
    WriteTimeout,
)


class LinkLost(CrdtkvError):
    """The link broke before the answer; `was_sent` tells whether the request may have arrived. Internal."""

    def __init__(self, was_sent: bool) -> None:
        super().__init__("the link to the node broke")
        self.was_sent = was_sent


class NoAnswer(CrdtkvError):
    """The deadline passed without an answer, or the node is suspected. Internal."""


class Unsettled(CrdtkvError):
    """A try may have been carried out; at `settled_at` (monotonic seconds) it cannot begin any more. Internal."""

    def __init__(self, settled_at: float, timeout: WriteTimeout) -> None:
        super().__init__("the write may have been carried out")
        self.settled_at = settled_at
        self.timeout = timeout


#: How a try may fail so that the same request is tried again.
RETRIED = (LinkLost, NoAnswer, Unsettled, Overloaded, Unavailable, InsufficientStorage, StaleReplica, NoNodeReachable)
