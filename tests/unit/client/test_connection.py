"""One node's connection over real TCP: what cannot be sent fails alone, what is too much goes as several messages."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from crdtkv.client import connection as connection_module
from crdtkv.client.connection import READS_A_MESSAGE, Connection
from crdtkv.errors import InvalidRequest, ValueTooLarge
from crdtkv.ids import MAX_KEY_BYTES, identity_of
from crdtkv.links.link import Link
from crdtkv.wire.codec import Frame
from crdtkv.wire.frames import MAX_FRAME_BYTES
from crdtkv.wire.messages import EntriesReply, GetRequest, Hello, MutateReply, MutateRequest, WatchRequest

NODE = Hello("shop", "eu", "node", "eu-1")
CLIENT = Hello("shop", "", "client", "python-1")
PATIENCE_S = 20.0


class Node:
    """Answers everything: a `LinkUser` behind a real listener."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.lost_links: list[str] = []
        self.reads: list[int] = []
        self.is_greeted = asyncio.Event()

    def greeted(self, link: Link, hello: Hello) -> None:
        self.links.append(link)
        self.is_greeted.set()

    def frame(self, link: Link, frame: Frame) -> None:
        for message in frame.messages:
            if isinstance(message, GetRequest):
                self.reads.append(len(message.identities))
                link.send([EntriesReply(message.id, list(message.identities))])
            elif isinstance(message, MutateRequest):
                link.send([MutateReply(message.id, 1, "eu-1.00", 1)])

    def beat(self, link: Link) -> None: ...

    def lost(self, link: Link, reason: str) -> None:
        self.lost_links.append(reason)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest_asyncio.fixture
async def connection(node: Node) -> AsyncIterator[Connection]:
    server = await asyncio.get_running_loop().create_server(lambda: Link(node, NODE, lambda: 0), "127.0.0.1", 0)
    connection = Connection("127.0.0.1", server.sockets[0].getsockname()[1], CLIENT, lambda _: None)
    connection.start()
    async with asyncio.timeout(PATIENCE_S):
        await connection.opened()
    yield connection
    await connection.close()
    server.close()


def mutation(connection: Connection, *arguments: object) -> MutateRequest:
    identity = b"default\0maxreg\0m"
    return MutateRequest(connection.next_id(), identity, "set", list(arguments), None, 0, "ONE", 5000)


UNSENDABLE: list[Any] = [2**64, object, {"a": 1}, "caf\udce9", [[b"x", {1}]]]


@pytest.mark.parametrize("argument", UNSENDABLE, ids=repr)
async def test_what_nobody_can_decode_fails_alone_and_leaves_the_link_to_others(
    node: Node, connection: Connection, argument: Any
) -> None:
    good = [connection.ask(mutation(connection, number), PATIENCE_S) for number in range(5)]
    with pytest.raises(InvalidRequest):
        connection.ask(mutation(connection, argument), PATIENCE_S)
    good += [connection.ask(mutation(connection, number), PATIENCE_S) for number in range(5)]
    assert all(isinstance(reply, MutateReply) for reply in await asyncio.gather(*good))
    assert node.lost_links == []


async def test_more_than_a_frame_holds_fails_alone_too(node: Node, connection: Connection) -> None:
    good = connection.ask(mutation(connection, 1), PATIENCE_S)
    with pytest.raises(ValueTooLarge):
        connection.ask(mutation(connection, *[b"x" * 500_000] * 40), PATIENCE_S)
    with pytest.raises(ValueTooLarge):
        connection.poll(WatchRequest(connection.next_id(), [], b"", b"x" * 20_000_000, 1, 0))
    assert isinstance(await good, MutateReply)
    assert node.lost_links == []


async def test_more_reads_than_a_message_may_name_go_as_several_messages(
    node: Node, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may be silent for a while.
    monkeypatch.setattr(connection_module, "SUSPECT_S", PATIENCE_S, raising=False)
    longest = len(identity_of("b" * 64, "register", b"k" * MAX_KEY_BYTES)) + 8
    assert READS_A_MESSAGE * longest < MAX_FRAME_BYTES, "a frame has room for the longest keys there are"
    keys = [b"%06d" % number for number in range(2 * READS_A_MESSAGE + 1)]
    asked = [connection.ask_entry(key, "ONE", 20_000) for key in keys]
    assert await asyncio.gather(*asked) == keys
    assert node.reads == [READS_A_MESSAGE, READS_A_MESSAGE, 1]
    assert node.lost_links == []


async def test_the_silence_of_a_link_that_broke_does_not_count_against_the_next(
    node: Node, connection: Connection
) -> None:
    connection._quiet_since = 0.0
    began = time.monotonic()
    node.is_greeted.clear()
    node.links[0].close("broken")
    await asyncio.wait_for(node.is_greeted.wait(), PATIENCE_S)
    assert connection._quiet_since >= began
