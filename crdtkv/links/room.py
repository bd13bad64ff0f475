"""`Room`: the memory that all links with clients may use together.

A link holds bytes that the other side has not read yet, and the received part of an incomplete frame. Each link has a
bound of its own (`links.link`); many links at their bound would still be too much, so they share this one as well.
"""

TOTAL_BYTES = 256 * 1024 * 1024


class Room:
    """Bytes held by links; every link updates its share, and sets it to 0 at its end."""

    def __init__(self, total_bytes: int = TOTAL_BYTES) -> None:
        self._total_bytes = total_bytes
        self.held_bytes = 0

    @property
    def left_bytes(self) -> int:
        """The bytes that may still be held; negative above the bound."""
        return self._total_bytes - self.held_bytes
