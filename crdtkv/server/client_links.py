"""`ClientLinks`: the connections of a node that are not links to other nodes: clients, and unidentified ones.

A connection is unidentified until its handshake. At most `HALF_OPEN_MAX` are; a further one replaces the oldest. A node
sends its handshake with its first packet, so a flood of silent connections keeps no node out for long, and nodes take
no client's place. If there is no place for a client, it gets an error.
"""

import itertools

from crdtkv.errors import Overloaded
from crdtkv.links.link import Link

HALF_OPEN_MAX = 128


class ClientLinks:
    """All connections; clients have a number, which is never reused."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._numbers = itertools.count(1)
        self._half_open: dict[Link, None] = {}
        self._clients: dict[int, Link] = {}

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self._clients)

    @property
    def is_empty(self) -> bool:
        """Whether there are no connections, identified or not."""
        return not self._clients and not self._half_open

    def all(self) -> list[Link]:
        """Return all connections, clients first."""
        return [*self._clients.values(), *self._half_open]

    def clients(self) -> list[Link]:
        """Return the links of all clients."""
        return list(self._clients.values())

    def get(self, number: int) -> Link | None:
        """Return a client's link, None if it is closed."""
        return self._clients.get(number)

    def accepted(self, link: Link) -> None:
        """Add a new, unidentified connection."""
        self._half_open[link] = None
        if len(self._half_open) > HALF_OPEN_MAX:
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            oldest.close("gave way to a newer connection")

    def known(self, link: Link) -> None:
        """Note that a connection has sent its handshake."""
        self._half_open.pop(link, None)

    def admit(self, link: Link) -> None:
        """Give a client its number.

        Raises:
            Overloaded: there is no place for another client.
        """
        if len(self._clients) >= self._places:
            raise Overloaded(
                f"too many connections, {self._places} clients are connected to this node: use one client for a whole "
                "process, or raise limits.connections_max"
            )
        link.number = next(self._numbers)
        self._clients[link.number] = link

    def lost(self, link: Link) -> bool:
        """Remove a closed link; return whether it was a client's."""
        self._half_open.pop(link, None)
        return self._clients.pop(link.number, None) is not None
