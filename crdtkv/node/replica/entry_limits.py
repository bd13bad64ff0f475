"""`EntryLimits`: the largest size of an entry, and the size from which an entry counts as large.

A write that would make an entry larger than the limit is refused. Merging never refuses. Neither do removals, which may
make an entry larger by the context they add. For a small change of a large entry, nodes do not send, write or read the
whole entry.
"""

from crdtkv.config.model import LimitsConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage, ValueTooLarge

#: Space for an entry's context and the names in it, in addition to the limit.
CONTEXT_BYTES = 16 * 1024
REMOVALS = frozenset(("delete", "remove", "disable"))


def disk_is_full() -> InsufficientStorage:
    """Return the error that refuses an entry while free disk space is below the floor."""
    return InsufficientStorage("the node's disk is almost full: free space; writes then resume by themselves")


class EntryLimits:
    """The limits of one node."""

    def __init__(self, limits: LimitsConfig) -> None:
        self.whole_entry_bytes = limits.whole_entry_bytes
        self._entry_bytes_max = limits.entry_kib * 1024

    def is_large(self, entry: Entry | None) -> bool:
        """Return whether only differences of an entry are sent, written and read, not the whole."""
        return entry is not None and entry.size > self.whole_entry_bytes

    def check_arguments(self, operation: str, arguments: list[object]) -> None:
        """Refuse an operation whose arguments alone exceed the limit, before any work is done for it.

        Raises:
            ValueTooLarge: they do.
        """
        size = 0
        for argument in arguments:
            if type(argument) is bytes:
                size += len(argument)
        self._check(size, 0, operation, arguments)

    def check(self, entry: Entry, before: Entry, operation: str, arguments: list[object]) -> None:
        """Refuse the result of an operation.

        Raises:
            ValueTooLarge: it is too large, and larger than before.
        """
        self._check(entry.size, before.size, operation, arguments)

    def _check(self, size: int, size_before: int, operation: str, arguments: list[object]) -> None:
        if size > self._entry_bytes_max + CONTEXT_BYTES and size > size_before:
            kind = arguments[1] if operation == "update" and len(arguments) > 1 else operation
            if type(kind) is not str or kind not in REMOVALS:
                raise ValueTooLarge(size, self._entry_bytes_max)
