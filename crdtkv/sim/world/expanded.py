"""What monitors and people look at: every write of a step on its own, as if it had been sent alone."""

from collections.abc import Iterable, Iterator

from crdtkv.wire.messages import WRITE_WIDTH, Message, WriteReplica, WriteReplicas


def expanded(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages, and a `WriteReplica` for each row of a `WriteReplicas`."""
    for message in messages:
        if isinstance(message, WriteReplicas):
            for at in range(0, len(message.rows), WRITE_WIDTH):
                number, identity, entry, supersede_before, record, *_ = message.rows[at : at + WRITE_WIDTH]
                yield WriteReplica(number, identity, entry, supersede_before, None, record)  # type: ignore[arg-type]
        else:
            yield message
