"""`MemberTable`: one node's rows about all nodes of its ring, ordered by their last change.

The table is a join: merging the same rows in any order, any number of times, gives the same table. It holds exactly the
nodes of the ring, which the topology document lists (`ring.topology`), so its size is bounded, and rows about other
nodes are dropped. A node without news yet has an empty row, at heartbeat 0.

Rows are ordered by their last change here. So `newest` returns the rows that others most likely lack, and a message of
bounded size carries the news of a ring that is larger than the message.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

from crdtkv.node.membership.member import Member, joined


class Merged(NamedTuple):
    """The result of a merge: the nodes whose heartbeat grew here, and our rows that are newer than the merged ones."""

    grown: list[str]
    behind: list[Member]


class MemberTable:
    """The rows of one node. Two tables are equal if their rows are, in any order."""

    __slots__ = ("_rows",)

    def __init__(self, nodes: Iterable[str]) -> None:
        self._rows = {node: Member(node) for node in sorted(nodes)}

    def __repr__(self) -> str:
        return f"[{'; '.join(repr(row) for _, row in sorted(self._rows.items()))}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemberTable) and self._rows == other._rows

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, node: str) -> bool:
        return node in self._rows

    def __getitem__(self, node: str) -> Member:
        return self._rows[node]

    @property
    def nodes(self) -> list[str]:
        """The nodes of the ring, sorted."""
        return sorted(self._rows)

    def follow(self, nodes: Iterable[str]) -> None:
        """Take another set of nodes; the rows of those that stay are kept."""
        staying = set(nodes)
        kept = {node: row for node, row in self._rows.items() if node in staying}
        self._rows = {node: Member(node) for node in sorted(staying - kept.keys())} | kept

    def merge(self, theirs: Iterable[Member]) -> Merged:
        """Merge rows into the table."""
        rows = self._rows
        grown: list[str] = []
        behind: list[Member] = []
        for row in theirs:
            node = row[0]
            mine = rows.get(node)
            if mine is row or mine is None:
                continue
            both = joined(mine, row)
            if both is not mine and both != mine:
                del rows[node]  # so that it is inserted last
                rows[node] = both
                if both.version != mine.version:
                    grown.append(node)
            if both is not row and both != row:
                behind.append(both)
        return Merged(grown, behind)

    def newest(self, limit: int, unless: Collection[str] = ()) -> list[Member]:
        """Return at most `limit` rows, the last changed first, without those of the nodes in `unless`."""
        rows = reversed(self._rows.values())
        return list(islice((row for row in rows if row.node not in unless) if unless else rows, limit))
