"""`Room`: the memory that all links with clients may take together.

A link holds what the other side has not read yet, and what has come of a frame that is not complete. Each has a bound
of its own (`links.link`); many links at their bound would be too much all the same, so they share this one as well.
"""

TOTAL_BYTES = 256 * 1024 * 1024


class Room:
    """Bytes held by links; every link says how many it holds now, and none when it is gone."""

    def __init__(self, total_bytes: int = TOTAL_BYTES) -> None:
        self._total_bytes = total_bytes
        self.held_bytes = 0

    @property
    def left_bytes(self) -> int:
        """How much may be held in addition; negative when there is too much."""
        return self._total_bytes - self.held_bytes
