"""`Connect`: the nodes that it asks, and how long it waits for the preferred data center."""

from random import Random

from stage import Stage, topology, topology_reply

from crdtkv import InvalidRequest, NoNodeReachable, ProtocolError
from crdtkv.client.core.client_core import ClientCore
from crdtkv.client.core.connecting import FIRST_LINK_S, MOMENT_S, OTHER_LINKS_S, Connect
from crdtkv.client.core.effects import HangUp
from crdtkv.client.core.events import LinkDown, LinkUp
from crdtkv.wire.messages import Hello, TopologyRequest


class Meeting:
    """A client that connects to addresses; the host of an address is the name of its node."""

    def __init__(self, *addresses: str, preferred: str | None = None, timeout_s: float = 5.0) -> None:
        self.stage = Stage()
        self.stage.core = ClientCore(Random(1))
        self.began_at = self.stage.now
        self.call = Connect([(address, 7401) for address in addresses], preferred, timeout_s)
        self.stage.begin(self.call)

    def contact(self, address: str) -> int:
        links = self.stage.core.routing.links.values()
        return next(link.number for link in links if link.address == (address, 7401))

    def greet(self, address: str) -> None:
        self.stage.step(LinkUp(self.contact(address), Hello("shop", address[:2], "node", address)))

    def tell(self, address: str) -> None:
        """Answer the topology request to an address."""
        (request,) = self.stage.sent.pop(address)
        assert isinstance(request, TopologyRequest)
        ring = topology(address[:2])
        self.stage.receive(self.contact(address), topology_reply(ring, request.id))

    @property
    def names(self) -> list[str]:
        return [view.name for view in self.stage.core.routing.views]


def test_one_node_of_each_data_center_is_asked() -> None:
    meeting = Meeting("eu-1", "eu-2", "us-1")
    for address in ("eu-1", "eu-2", "us-1"):
        meeting.greet(address)
    assert sorted(meeting.stage.sent) == ["eu-1", "us-1"]
    meeting.tell("us-1")
    meeting.tell("eu-1")
    assert meeting.names == ["eu", "us"], "the data center of the first address comes first"
    for node in ("eu-1", "eu-2", "eu-3"):
        meeting.stage.up(node)
    assert meeting.stage.ended[meeting.call] is None
    contacts = [meeting.contact("us-1")]
    assert meeting.stage.core.routing.views[1].contacts == [meeting.stage.core.routing.links[contacts[0]]]
    changes = meeting.stage.effects[-1].changes
    assert [type(change) for change in changes] == [HangUp, HangUp], "addresses are kept where no other link is open"


def test_the_client_waits_a_moment_for_the_preferred_data_center_once_another_is_known() -> None:
    meeting = Meeting("eu-1", "us-1", preferred="eu")
    meeting.greet("us-1")
    meeting.tell("us-1")
    meeting.stage.advance(MOMENT_S - 0.1)
    meeting.greet("eu-1")
    meeting.tell("eu-1")
    assert meeting.names == ["eu", "us"]


def test_without_links_to_the_nodes_of_the_topology_the_addresses_are_kept() -> None:
    meeting = Meeting("eu-1")
    meeting.greet("eu-1")
    meeting.tell("eu-1")
    meeting.stage.advance(FIRST_LINK_S + OTHER_LINKS_S)
    assert meeting.stage.ended[meeting.call] is None
    assert list(meeting.stage.core.routing.views[0].linked) == ["eu-1"]
    assert not meeting.stage.effects[-1].changes


def test_one_link_is_enough_after_a_moment() -> None:
    meeting = Meeting("eu-1")
    meeting.greet("eu-1")
    meeting.tell("eu-1")
    meeting.stage.up("eu-2")
    meeting.stage.advance(OTHER_LINKS_S)
    assert meeting.stage.ended[meeting.call] is None


def test_no_node_answers() -> None:
    meeting = Meeting("eu-1", timeout_s=1.0)
    meeting.stage.advance(1.0)
    error = meeting.stage.ended[meeting.call]
    assert isinstance(error, NoNodeReachable)
    assert "eu-1:7401" in str(error)


def test_another_cluster_answers() -> None:
    meeting = Meeting("eu-1")
    refused = ProtocolError("eu-1:7401 belongs to cluster 'x'")
    meeting.stage.step(LinkDown(meeting.contact("eu-1"), refused))
    assert meeting.stage.ended[meeting.call] is refused


def test_the_error_for_an_unknown_data_center_names_the_known_ones() -> None:
    meeting = Meeting("eu-1", preferred="asia")
    meeting.greet("eu-1")
    meeting.tell("eu-1")
    for node in ("eu-1", "eu-2", "eu-3"):
        if meeting.call not in meeting.stage.ended:
            meeting.stage.up(node)
    error = meeting.stage.ended[meeting.call]
    assert isinstance(error, InvalidRequest)
    assert "one of eu, us" in str(error)
