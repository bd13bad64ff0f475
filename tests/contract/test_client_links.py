"""Admission at a node's port: as many clients as there are places; silent connections keep no client out."""

import pytest

from crdtkv.errors import Overloaded
from crdtkv.links.link import Link
from crdtkv.server.client_links import HALF_OPEN_MAX, ClientLinks
from crdtkv.wire.messages import Hello

from .test_link import NODE, Owner


def connections(count: int) -> list[Link]:
    return [Link(Owner(), NODE, lambda: 1) for _ in range(count)]


def client_in(links: ClientLinks, link: Link) -> None:
    links.accepted(link)
    links.known(link)
    links.admit(link)
    link.hello = Hello("shop", "eu", "client", "c")


def test_of_too_many_silent_connections_the_oldest_gives_way() -> None:
    links = ClientLinks(places=1)
    made = connections(HALF_OPEN_MAX + 2)
    for link in made:
        links.accepted(link)
    assert links.all() == made[2:]
    assert [link._reason for link in made[:3]] == ["gave way to a newer connection"] * 2 + ["closed by the other side"]


def test_whoever_has_said_who_it_is_does_not_give_way() -> None:
    links = ClientLinks(places=5)
    first, *others = connections(HALF_OPEN_MAX + 2)
    client_in(links, first)
    for link in others:
        links.accepted(link)
    assert links.get(first.number) is first
    assert links.all() == [first, *others[1:]]


def test_a_client_beyond_the_places_is_refused_until_another_one_has_left() -> None:
    links = ClientLinks(places=2)
    one, two, three = connections(3)
    client_in(links, one)
    client_in(links, two)
    with pytest.raises(Overloaded, match=r"too many connections, 2 clients .* limits.connections_max"):
        client_in(links, three)
    assert not links.lost(three)
    assert links.lost(one)
    client_in(links, three)
    assert links.clients() == [two, three]
    assert len({one.number, two.number, three.number}) == 3


def test_nodes_and_silent_connections_take_no_place() -> None:
    links = ClientLinks(places=1)
    node, silent, client = connections(3)
    links.accepted(node)
    links.known(node)
    links.accepted(silent)
    client_in(links, client)
    assert len(links) == 1
    assert not links.lost(node)
    assert links.lost(client)
    assert not links.is_empty
    assert not links.lost(silent)
    assert links.is_empty
