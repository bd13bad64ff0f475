"""`Pacing`: limits how often a large entry is sent to other data centers while it is written continuously.

Entries travel whole between data centers. A small one may be sent as often as the stream takes it. A large one would
fill the stream, and the nodes that apply it, with copies of itself. So after an entry of more than `FREE_BYTES` was
sent, its key rests for `size / BYTES_PER_S` seconds; writes in that time go with the next message.
"""

FREE_BYTES = 16 * 1024
BYTES_PER_S = 1024 * 1024


class Pacing:
    """The end of the rest of each resting key, in monotonic seconds."""

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
        """Return when the first rest ends, None if no key rests."""
        return min(self._until.values(), default=None)
