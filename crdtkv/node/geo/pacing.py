"""`Pacing`: how often an entry goes to other data centers while it is written without end.

Entries travel whole between data centers. A small one may be sent as often as the stream takes it; a large one then
would fill the stream, and the nodes that apply it, with copies of itself. So after an entry of more than `FREE_BYTES`
was sent its key rests for as long as sending it takes at `BYTES_PER_S`; what is written meanwhile goes with the next.
"""

FREE_BYTES = 16 * 1024
BYTES_PER_S = 1024 * 1024


class Pacing:
    """When the keys that rest may be sent again, monotonic seconds."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def sent(self, storage_key: bytes, size: int, now: float) -> None:
        """Note that an entry of this size was sent."""
        if size > FREE_BYTES:
            self._until[storage_key] = now + size / BYTES_PER_S

    def resting(self, now: float) -> frozenset[bytes]:
        """Return the keys that must not be sent yet."""
        if self._until:
            self._until = {storage_key: until for storage_key, until in self._until.items() if until > now}
        return frozenset(self._until)

    def next_end(self) -> float | None:
        """Return when the next key has rested."""
        return min(self._until.values(), default=None)
