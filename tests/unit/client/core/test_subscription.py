"""`Subscription`: the replica of each partition, and what happens when it is lost. No key may be skipped."""

from collections.abc import Sequence
from random import Random
from typing import Any

from stage import KEY, Stage, topology, topology_reply

from crdtkv import ClosedError, InvalidRequest, Overloaded, Unavailable
from crdtkv.client.core.client_core import ClientCore
from crdtkv.client.core.events import Closed, PageDelivered, PageTaken, TopologySeen
from crdtkv.client.core.subscription import ANSWER_S, LINKS_S, REFRESH_S, RETRY_S, WAIT_S, Part, Subscription
from crdtkv.ring.partition_set import from_bits
from crdtkv.wire.messages import TopologyRequest, WatchReply, WatchRequest

ALL = (1 << 16) - 1


class Watcher:
    """A watch of all keys of a bucket on three nodes; every node is a replica of every partition."""

    def __init__(self, stage: Stage, parts: Sequence[Part] = ()) -> None:
        self.stage = stage
        self.subscription = Subscription(stage.core.routing.views[0], [b"default"], parts)
        stage.begin(self.subscription)

    def polls(self) -> dict[str, WatchRequest]:
        """Return the polls since the last call by node; check that there is one per node."""
        sent, self.stage.sent = self.stage.sent, {}
        polls: dict[str, Any] = {}
        for node, messages in sent.items():
            (polls[node],) = messages
        return polls

    def tell(self, node: str, poll: WatchRequest, rows: int = 1, cursor: bytes = b"1", position: int | None = 5) -> Any:
        row: list[object] = [KEY, None]
        self.stage.answer(node, WatchReply(poll.id, [row] * rows, cursor, position, 5))
        return self.stage.pages[-1][1]

    def read(self, page: Any) -> None:
        self.stage.step(PageTaken(page), PageDelivered(page))


def mask(poll: WatchRequest) -> int:
    return from_bits(poll.partitions, 16)


def test_every_partition_is_polled_at_one_replica_that_is_not_a_learner() -> None:
    watcher = Watcher(Stage(topology(learners=("eu-2",))))
    polls = watcher.polls()
    assert sorted(polls) == ["eu-1", "eu-3"]
    masks = [mask(poll) for poll in polls.values()]
    assert masks[0] | masks[1] == ALL
    assert masks[0] & masks[1] == 0
    assert [poll.cursor for poll in polls.values()] == [b"", b""]


def test_the_next_page_is_requested_when_the_one_before_was_taken() -> None:
    watcher = Watcher(Stage())
    node, poll = next(iter(watcher.polls().items()))
    page = watcher.tell(node, poll)
    assert not watcher.polls()
    watcher.stage.step(PageTaken(page))
    next_poll = watcher.polls()[node]
    assert (next_poll.cursor, next_poll.wait_ms) == (b"1", int(WAIT_S * 1000))


def test_a_token_has_the_cursors_of_delivered_pages_only() -> None:
    watcher = Watcher(Stage())
    node, poll = next(iter(watcher.polls().items()))
    page = watcher.tell(node, poll)
    watcher.stage.step(PageTaken(page))
    assert watcher.subscription.delivered_parts == []
    watcher.stage.step(PageDelivered(page))
    assert watcher.subscription.delivered_parts == [Part(node, mask(poll), b"1")]


def test_partitions_that_lose_their_replica_begin_elsewhere_from_an_empty_cursor() -> None:
    watcher = Watcher(Stage())
    polls = watcher.polls()
    for node, poll in polls.items():
        watcher.read(watcher.tell(node, poll))
    watcher.polls()
    watcher.stage.down("eu-1")
    begun = watcher.polls()
    assert "eu-1" not in begun
    assert {poll.cursor for poll in begun.values()} == {b""}
    moved = 0
    for poll in begun.values():
        moved |= mask(poll)
    assert moved == mask(polls["eu-1"])


def test_a_node_that_refuses_because_it_does_not_count_is_left() -> None:
    watcher = Watcher(Stage())
    node, poll = next(iter(watcher.polls().items()))
    watcher.stage.refuse(node, poll, Unavailable(1, 0))
    begun = watcher.polls()
    assert node not in begun
    assert begun


def test_an_overloaded_node_is_asked_again_from_where_it_was() -> None:
    watcher = Watcher(Stage())
    node, poll = next(iter(watcher.polls().items()))
    watcher.stage.refuse(node, poll, Overloaded("full"))
    assert not watcher.polls()
    watcher.stage.advance(RETRY_S)
    assert watcher.polls()[node].cursor == poll.cursor


def test_a_poll_that_is_not_answered_in_time_ends_its_group() -> None:
    watcher = Watcher(Stage())
    polls = watcher.polls()
    for node in list(polls)[1:]:
        watcher.read(watcher.tell(node, polls[node]))
    watcher.polls()
    (first, *_) = polls
    watcher.stage.advance(ANSWER_S)
    assert first not in watcher.polls()


def test_partitions_without_a_reachable_replica_are_assigned_when_one_is_reachable() -> None:
    stage = Stage()
    for node in ("eu-1", "eu-2", "eu-3"):
        stage.down(node)
    watcher = Watcher(stage)
    stage.advance(5.0)
    assert not watcher.polls()
    stage.up("eu-2")
    stage.advance(RETRY_S)
    (begun,) = watcher.polls().values()
    assert mask(begun) == ALL


def test_a_watch_with_a_token_waits_for_the_links_to_its_nodes() -> None:
    stage = Stage()
    stage.core = ClientCore(Random(1))
    stage.step(TopologySeen("eu", 0, topology_reply(topology())))
    watcher = Watcher(stage, [Part("eu-1", ALL, b"7")])
    for node in ("eu-2", "eu-3"):
        stage.up(node)
    assert not watcher.polls()
    stage.up("eu-1")
    assert {node: poll.cursor for node, poll in watcher.polls().items()} == {"eu-1": b"7"}


def test_a_watch_with_a_token_waits_a_moment_for_an_unreachable_node() -> None:
    stage = Stage()
    stage.core = ClientCore(Random(1))
    stage.step(TopologySeen("eu", 0, topology_reply(topology())))
    watcher = Watcher(stage, [Part("eu-1", ALL, b"7")])
    stage.up("eu-2")
    stage.advance(LINKS_S)
    ((node, poll),) = watcher.polls().items()
    assert (node, poll.cursor, mask(poll)) == ("eu-2", b"", ALL)


def test_it_uses_the_newest_topology() -> None:
    watcher = Watcher(Stage())
    polls = watcher.polls()
    watcher.stage.answer("eu-3", epoch=2)
    asked, request = watcher.stage.take_any(TopologyRequest)
    watcher.stage.answer(asked, topology_reply(topology(epoch=2, learners=("eu-2",)), request.id), epoch=2)
    watcher.stage.refuse("eu-1", polls["eu-1"], Unavailable(1, 0))
    assert list(watcher.polls()) == ["eu-3"]


def test_a_watch_without_a_replica_that_counts_requests_the_topology_until_one_does() -> None:
    """Seed 700000101 of disks: all replicas were learners; the client did not notice when they counted again."""
    learners = ("eu-1", "eu-2", "eu-3")
    watcher = Watcher(Stage(topology(learners=learners)))
    asked, request = watcher.stage.take_any(TopologyRequest)
    watcher.stage.answer(asked, topology_reply(topology(learners=learners), request.id))
    watcher.stage.advance(REFRESH_S)
    asked, request = watcher.stage.take_any(TopologyRequest)
    watcher.stage.answer(asked, topology_reply(topology(epoch=2, learners=learners[:2]), request.id), epoch=2)
    watcher.stage.advance(RETRY_S)
    (poll,) = watcher.polls().values()
    assert mask(poll) == ALL


def test_a_watch_catches_up_with_a_node_that_restarted_while_no_poll_was_under_way() -> None:
    """Seed 700001183 of watchers: the node's numbers had restarted, so the watch never reached the old head."""
    watcher = Watcher(Stage(topology(nodes=1)))
    poll = watcher.polls()["eu-1"]
    page = watcher.tell("eu-1", poll, position=None)  # the head was 5
    watcher.stage.down("eu-1")
    watcher.stage.up("eu-1")
    watcher.read(page)
    poll = watcher.polls()["eu-1"]
    watcher.stage.answer("eu-1", WatchReply(poll.id, [], b"2", 2, 2))
    watcher.read(watcher.stage.pages[-1][1])
    assert watcher.subscription.is_current
    assert watcher.polls()["eu-1"].wait_ms == int(WAIT_S * 1000)


def test_a_wrong_request_ends_the_watch() -> None:
    watcher = Watcher(Stage())
    node, poll = next(iter(watcher.polls().items()))
    watcher.stage.refuse(node, poll, InvalidRequest("no such prefix"))
    assert isinstance(watcher.stage.ended[watcher.subscription], InvalidRequest)
    watcher.stage.advance(30.0)
    assert not watcher.polls()


def test_closing_the_client_ends_the_watch() -> None:
    watcher = Watcher(Stage())
    watcher.stage.step(Closed())
    assert isinstance(watcher.stage.ended[watcher.subscription], ClosedError)
