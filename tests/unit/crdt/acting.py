"""Operations on one key, in a short form for tests."""

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry


def act(
    on: Entry,
    dot: tuple[str, int],
    operation: str,
    *arguments: object,
    seen: CausalContext | None = None,
    at: int = 1,
    expires_at: int | None = None,
) -> Entry:
    """Return an entry after an operation, whose dot and timestamp the story chooses."""
    return on.merge(on.delta(operation, list(arguments), Event(Dot(*dot), at), seen, expires_at))


def delta(on: Entry, dot: tuple[str, int], operation: str, *arguments: object) -> Entry:
    return on.delta(operation, list(arguments), Event(Dot(*dot), 1))


def everywhere(*entries: Entry) -> Entry:
    """Return the merge of entries, which must be the same bytes in either order."""
    forth, back = entries[0], entries[-1]
    for entry in entries[1:]:
        forth = forth.merge(entry)
    for entry in reversed(entries[:-1]):
        back = back.merge(entry)
    assert forth.to_bytes() == back.to_bytes()
    return forth
