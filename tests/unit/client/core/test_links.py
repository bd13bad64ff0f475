"""The link to one node: batching, silence of the node, and requests in flight when the node stops."""

from dataclasses import replace

from stage import KEY, Stage, topology, topology_reply

from crdtkv import LOCAL_QUORUM, ONE
from crdtkv.client.core.effects import Break, Dial
from crdtkv.client.core.node_link import READS_A_MESSAGE
from crdtkv.client.core.reading import Read
from crdtkv.client.core.silence import SUSPECT_S
from crdtkv.wire.messages import EntriesReply, GetRequest, GoAway, TopologyRequest


def read(timeout_s: float = 5.0) -> Read:
    return Read(KEY, LOCAL_QUORUM, timeout_s)


def test_reads_that_begin_in_one_step_leave_as_one_message() -> None:
    stage = Stage()
    reads = [read() for _ in range(5)]
    stage.begin(*reads)
    node, sent = stage.take_any(GetRequest)
    assert sent.identities == [KEY] * 5
    stage.answer(node, EntriesReply(sent.id, [b"%d" % number for number in range(5)]))
    assert [stage.ended[call] for call in reads] == [b"0", b"1", b"2", b"3", b"4"]


def test_reads_of_other_levels_leave_as_messages_of_their_own_in_the_same_frame() -> None:
    stage = Stage()
    effects = stage.begin(read(), Read(KEY, ONE, 5.0), read())
    ((messages),) = effects.sends.values()
    assert [(message.level, len(message.identities)) for message in messages] == [("LOCAL_QUORUM", 2), ("ONE", 1)]


def test_reads_beyond_the_window_wait_and_are_sent_when_there_is_room() -> None:
    stage = Stage()
    stage.link("eu-1").window.limit = 2 * READS_A_MESSAGE + 1
    for node in ("eu-2", "eu-3"):
        stage.down(node)
    reads = [read() for _ in range(2 * READS_A_MESSAGE + 2)]
    stage.begin(*reads)
    sent = stage.sent.pop("eu-1")
    assert [len(message.identities) for message in sent] == [READS_A_MESSAGE, READS_A_MESSAGE, 1]  # type: ignore[attr-defined]
    stage.answer("eu-1", EntriesReply(sent[2][0], [None]))  # type: ignore[arg-type]
    assert len(stage.take("eu-1", GetRequest).identities) == 1


def test_a_silent_node_is_suspected_and_its_reads_go_elsewhere() -> None:
    stage, call = Stage(), read()
    stage.begin(call)
    first, _ = stage.take_any(GetRequest)
    stage.advance(SUSPECT_S + 0.3)
    assert stage.link(first).is_suspected
    second, sent = stage.take_any(GetRequest)
    assert second != first
    stage.answer(second, EntriesReply(sent.id, [b"e"]))
    assert stage.ended[call] == b"e"


def test_a_node_that_speaks_again_is_suspected_no_longer() -> None:
    stage = Stage()
    stage.begin(read())
    first, sent = stage.take_any(GetRequest)
    stage.advance(1.0)
    stage.answer(first, EntriesReply(sent.id, [None]))
    assert not stage.link(first).is_suspected


def test_a_process_that_did_not_run_suspects_no_node() -> None:
    stage = Stage()
    stage.begin(read())
    first, _ = stage.take_any(GetRequest)
    stage.now += 3.0  # the core was not called in the meantime
    stage.step()
    assert not stage.link(first).is_suspected


def test_a_new_link_is_not_judged_by_the_silence_of_the_old_one() -> None:
    stage = Stage()
    for node in ("eu-2", "eu-3"):
        stage.down(node)
    stage.begin(read())
    stage.take("eu-1", GetRequest)
    stage.advance(0.25)
    stage.down("eu-1")
    stage.up("eu-1")
    stage.begin(read())
    stage.advance(0.1)
    assert not stage.link("eu-1").is_suspected


def test_a_stopping_node_gets_no_new_requests_and_keeps_its_link_until_it_has_answered() -> None:
    stage, call = Stage(), read()
    stage.begin(call)
    node, sent = stage.take_any(GetRequest)
    stage.answer(node, GoAway(1000))
    assert not stage.effects[-1].changes
    stage.begin(read())
    assert stage.take_any(GetRequest)[0] != node
    stage.answer(node, EntriesReply(sent.id, [b"e"]))
    assert stage.effects[-1].changes == (Break(stage.link(node).number),)
    assert stage.ended[call] == b"e"


def test_a_frame_of_a_newer_epoch_makes_the_client_learn_the_ring_again_once() -> None:
    stage = Stage()
    stage.answer("eu-1", epoch=2)
    stage.answer("eu-2", epoch=2)
    node, request = stage.take_any(TopologyRequest)
    stage.answer(node, topology_reply(topology(epoch=2, nodes=4), request.id), epoch=2)
    assert stage.core.routing.views[0].ring.topology.epoch == 2
    assert stage.effects[-1].changes == (Dial(4, "eu-4", "eu-4", 1),)
    stage.answer("eu-2", epoch=2)
    assert not stage.sent


def test_an_answer_on_the_old_link_of_a_moved_node_matches_no_new_request() -> None:
    """Seed 103: a read on the old link was answered late, under the id of a write on the new one."""
    stage = Stage(topology(nodes=1))
    stage.begin(read())
    old = stage.take("eu-1", GetRequest)
    moved = topology(nodes=1, epoch=2)
    moved = replace(moved, nodes=(replace(moved.nodes[0], host="elsewhere"),))
    stage.answer("eu-1", epoch=2)
    request = stage.take("eu-1", TopologyRequest)
    stage.answer("eu-1", topology_reply(moved, request.id), epoch=2)
    stage.up("eu-1")
    call = read()
    stage.begin(call)
    assert stage.take("eu-1", GetRequest).id > old.id
    stage.answer("eu-1", EntriesReply(old.id, [b"old"]), epoch=2)
    assert call not in stage.ended
