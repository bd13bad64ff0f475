"""The asyncio host of a client core, over TCP: a request that cannot be sent fails alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from crdtkv import LOCAL_QUORUM, ONE
from crdtkv.client.core import silence
from crdtkv.client.core.connecting import Connect
from crdtkv.client.core.node_link import READS_A_MESSAGE
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.reading import Read
from crdtkv.client.core.writing import Mutation, Write
from crdtkv.client.host import ClientHost
from crdtkv.errors import ClosedError, InvalidRequest, NoNodeReachable, ValueTooLarge
from crdtkv.ids import MAX_KEY_BYTES, identity_of
from crdtkv.links.link import Link
from crdtkv.ring.topology import RingNode, Topology
from crdtkv.wire.codec import Frame
from crdtkv.wire.frames import MAX_FRAME_BYTES
from crdtkv.wire.messages import (
    EntriesReply,
    GetRequest,
    Hello,
    MutateReply,
    MutateRequest,
    TopologyReply,
    TopologyRequest,
)

NODE = Hello("shop", "eu", "node", "eu-1")
CLIENT = Hello("shop", "", "client", "python-1")
PATIENCE_S = 20.0


class Node:
    """A node that answers every request: a `LinkUser` behind a listener."""

    def __init__(self) -> None:
        self.port = 0
        self.links: list[Link] = []
        self.lost_links: list[str] = []
        self.reads: list[int] = []

    def greeted(self, link: Link, hello: Hello) -> None:
        self.links.append(link)

    def frame(self, link: Link, frame: Frame) -> None:
        for message in frame.messages:
            if isinstance(message, GetRequest):
                self.reads.append(len(message.identities))
                link.send([EntriesReply(message.id, list(message.identities))])
            elif isinstance(message, MutateRequest):
                link.send([MutateReply(message.id, 1, "eu-1.00", 1)])
            elif isinstance(message, TopologyRequest):
                node = RingNode("eu-1", "127.0.0.1", self.port, "z", 1.0, "0" * 16)
                ring = Topology("shop", "eu", 1, 16, 1, (node,))
                link.send([TopologyReply(message.id, ring.to_json(), [])])

    def beat(self, link: Link) -> None: ...

    def lost(self, link: Link, reason: str) -> None:
        self.lost_links.append(reason)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest_asyncio.fixture
async def host(node: Node) -> AsyncIterator[ClientHost]:
    server = await asyncio.get_running_loop().create_server(lambda: Link(node, NODE, lambda: 0), "127.0.0.1", 0)
    node.port = server.sockets[0].getsockname()[1]
    host = ClientHost(CLIENT)
    await host.run(Connect([("127.0.0.1", node.port)], None, PATIENCE_S))
    node.lost_links.clear()
    yield host
    await host.close()
    server.close()


def mutation(*arguments: object) -> Write:
    return Write(b"default\0maxreg\0m", Mutation("set", [*arguments]), ONE, PATIENCE_S, Observations())


UNSENDABLE: list[Any] = [2**64, object(), {"a": 1}, "caf\udce9", [[b"x", {1}]]]


@pytest.mark.parametrize("argument", UNSENDABLE, ids=lambda argument: type(argument).__name__)
async def test_a_request_that_cannot_be_decoded_fails_alone_and_the_link_stays_open(
    node: Node, host: ClientHost, argument: Any
) -> None:
    good = [host.begin(mutation(number)) for number in range(5)]
    wrong = host.begin(mutation(argument))
    good += [host.begin(mutation(number)) for number in range(5)]
    with pytest.raises(InvalidRequest):
        await wrong
    assert all(isinstance(reply, MutateReply) for reply in await asyncio.gather(*good))
    assert node.lost_links in ([], ["closed by the other side"]), (
        "only the link to the address of connect may be closed"
    )


async def test_a_request_larger_than_a_frame_fails_alone(host: ClientHost) -> None:
    good = host.begin(mutation(1))
    with pytest.raises(ValueTooLarge):
        await host.run(mutation(*[b"x" * 500_000] * 40))
    assert isinstance(await good, MutateReply)


async def test_more_reads_than_a_message_may_name_go_as_several_messages(
    node: Node, host: ClientHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the node may be silent for a while.
    monkeypatch.setattr(silence, "SUSPECT_S", PATIENCE_S)
    monkeypatch.setattr(silence, "SUSPECT_MAX_S", PATIENCE_S)
    longest = len(identity_of("b" * 64, "register", b"k" * MAX_KEY_BYTES)) + 8
    assert READS_A_MESSAGE * longest < MAX_FRAME_BYTES, "a frame has room for keys of the greatest length"
    host.core.routing.views[0].links["eu-1"].window.limit = 3 * READS_A_MESSAGE
    keys = [b"%06d" % number for number in range(2 * READS_A_MESSAGE + 1)]
    asked = [host.begin(Read(key, LOCAL_QUORUM, PATIENCE_S)) for key in keys]
    assert await asyncio.gather(*asked) == keys
    assert node.reads == [READS_A_MESSAGE, READS_A_MESSAGE, 1]


async def test_a_canceled_call_leaves_the_others_alone(host: ClientHost) -> None:
    task = asyncio.create_task(host.run(mutation(1)))
    await asyncio.sleep(0)
    other = host.begin(mutation(2))
    task.cancel()
    assert isinstance(await other, MutateReply)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_closing_calls_end_at_once(host: ClientHost) -> None:
    await host.close()
    with pytest.raises(ClosedError):
        await host.run(mutation(1))


async def test_without_an_answer_the_error_names_the_addresses() -> None:
    host = ClientHost(CLIENT)
    with pytest.raises(NoNodeReachable, match=r"no node answers at 127\.0\.0\.1:1"):
        await host.run(Connect([("127.0.0.1", 1)], None, 0.2))
    await host.close()
