"""Internal errors of attempts, and the list of errors that are retried."""

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
    """The link broke before the answer; if `was_sent`, the node may have received the request. Internal."""

    def __init__(self, was_sent: bool) -> None:
        super().__init__("the link to the node broke")
        self.was_sent = was_sent


class NoAnswer(CrdtkvError):
    """The deadline passed without an answer, or the node is suspected. Internal."""


class Unsettled(CrdtkvError):
    """An attempt may have been applied; no node begins it after `settled_at` (monotonic seconds). Internal."""

    def __init__(self, settled_at: float, timeout: WriteTimeout) -> None:
        super().__init__("the write may have been applied")
        self.settled_at = settled_at
        self.timeout = timeout


#: The errors of an attempt after which the request is retried.
RETRIED = (LinkLost, NoAnswer, Unsettled, Overloaded, Unavailable, InsufficientStorage, StaleReplica, NoNodeReachable)
