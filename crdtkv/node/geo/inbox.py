"""One message from another data center, while it is being applied.

A message carries many entries; those with the same home replicas here are written to them together. Only when a
majority has fsynced every entry, the message is acknowledged to the stream, and its rows are confirmed to the node that
sent them. If any write fails, the whole message is delivered again later: applying an entry twice changes nothing.
"""


class Delivery:
    """One stream message that is not applied yet, in several writes. `handle` is the host's number of the message."""

    __slots__ = ("_failed", "_open", "actor", "datacenter", "handle", "node", "outbox_seqs")

    def __init__(
        self, handle: int, datacenter: str, node: str, actor: str, outbox_seqs: list[int], writes: int
    ) -> None:
        self.handle = handle
        self.datacenter = datacenter
        self.node = node
        self.actor = actor
        self.outbox_seqs = outbox_seqs
        self._open = writes
        self._failed = False

    def applied(self) -> None:
        """Count one write that a majority has made durable."""
        self._open -= 1

    def failed(self) -> None:
        """Count one write that could not be made now."""
        self._open -= 1
        self._failed = True

    @property
    def is_finished(self) -> bool:
        """Whether every write was applied or failed."""
        return self._open == 0

    @property
    def is_applied(self) -> bool:
        """Whether every write was applied."""
        return self._open == 0 and not self._failed
