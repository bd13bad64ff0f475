"""A simulated topology bucket: one document with compare-and-set by revision, which can be wiped or set back."""

from crdtkv.ring.topology import Topology


class TopologyBucket:
    """The document of one data center, as bytes; it keeps every version, for `rewind`."""

    def __init__(self) -> None:
        self._versions: list[bytes] = []
        self._lost = 0
        self._starts: dict[str, int] = {}

    @property
    def revision(self) -> int:
        """The revision of the document; no number is used twice."""
        return self._lost + len(self._versions)

    def read(self) -> tuple[Topology | None, int]:
        """Return the document, None if there is none, and its revision."""
        return (Topology.from_json(self._versions[-1]) if self._versions else None), self.revision

    def write(self, topology: Topology, revision: int) -> bool:
        """Replace the document if it still has that revision."""
        if revision != self.revision:
            return False
        self._versions.append(topology.to_json())
        return True

    def starts_of(self, node: str) -> int:
        """Return the highest number of a node's start that was noted, 0 if none."""
        return self._starts.get(node, 0)

    def note_start(self, node: str, starts: int) -> None:
        """Note the number of a node's start."""
        self._starts[node] = max(self.starts_of(node), starts)

    def wipe(self) -> None:
        """Lose the document."""
        self._lost += len(self._versions) + 1
        self._versions = []
        self._starts = {}

    def rewind(self) -> None:
        """Lose the last change."""
        if self._versions:
            self._versions.pop()
            self._lost += 2
