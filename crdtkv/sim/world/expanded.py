"""Messages as monitors and traces read them: every write of a step on its own, and the rows of a watch's page."""

from collections.abc import Iterable, Iterator
from typing import cast

from crdtkv.wire.messages import (
    APPLY_WIDTH,
    WRITE_WIDTH,
    ApplyEntries,
    Message,
    WatchReply,
    WriteReplica,
    WriteReplicas,
)


def expanded(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages, and a `WriteReplica` for each row of a `WriteReplicas` or `ApplyEntries`."""
    for message in messages:
        if isinstance(message, WriteReplicas):
            for at in range(0, len(message.rows), WRITE_WIDTH):
                number, identity, entry, supersede_before, record, *_ = message.rows[at : at + WRITE_WIDTH]
                yield WriteReplica(number, identity, entry, supersede_before, None, record)  # type: ignore[arg-type]
        elif isinstance(message, ApplyEntries):
            for at in range(0, len(message.rows), APPLY_WIDTH):
                identity, entry, *_ = message.rows[at : at + APPLY_WIDTH]
                yield WriteReplica(message.id, identity, entry, 0)  # type: ignore[arg-type]
        else:
            yield message


def rows_in(reply: WatchReply) -> list[tuple[bytes, bytes | None]]:
    """Return the identities and entries in the answer to a poll."""
    return cast("list[tuple[bytes, bytes | None]]", reply.rows)
