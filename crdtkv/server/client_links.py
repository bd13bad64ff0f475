"""`ClientLinks`: the connections of a node that are not links to other nodes: clients, and those nobody knows yet.

Until its handshake a connection could be anybody's. As many as `HALF_OPEN_MAX` may be so; when one more comes, the
oldest gives way. A node says who it is with its first packet, so a flood of connections that say nothing keeps no node
out for long, and nodes take no client's place. A client finds a place or is told that there is none.
"""

import itertools

from crdtkv.errors import Overloaded
from crdtkv.links.link import Link

HALF_OPEN_MAX = 128


class ClientLinks:
    """Who is connected; clients by their number, which is never used again."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._numbers = itertools.count(1)
        self._half_open: dict[Link, None] = {}
        self._clients: dict[int, Link] = {}

    def __len__(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is connected, or about to be."""
        return not self._clients and not self._half_open

    def all(self) -> list[Link]:
        """Return all connections, clients first."""
        return [*self._clients.values(), *self._half_open]

    def clients(self) -> list[Link]:
        """Return the links of all clients."""
        return list(self._clients.values())

    def get(self, number: int) -> Link | None:
        """Return a client's link, None if it has gone."""
        return self._clients.get(number)

    def accepted(self, link: Link) -> None:
        """Take in a connection that has said nothing yet."""
        self._half_open[link] = None
        if len(self._half_open) > HALF_OPEN_MAX:
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            oldest.close("gave way to a newer connection")

    def known(self, link: Link) -> None:
        """Learn that a connection has said who it is."""
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
        """Learn that a link is gone; tell whether it was a client's."""
        self._half_open.pop(link, None)
        return self._clients.pop(link.number, None) is not None
