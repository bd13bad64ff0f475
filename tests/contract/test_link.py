"""`Link` and `Dialer` over real TCP on loopback: handshake, framing, liveness, bounds, reconnection."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from crdtkv import cbor
from crdtkv.errors import Overloaded, ProtocolError
from crdtkv.links import link as link_module
from crdtkv.links.dialer import Dialer, connect
from crdtkv.links.link import Link
from crdtkv.links.room import Room
from crdtkv.local.ports import free_ports
from crdtkv.wire.codec import MAX_ITEMS, Frame, decode_frame
from crdtkv.wire.frames import HEARTBEAT, MAX_FRAME_BYTES, TARGET_FRAME_BYTES, framed
from crdtkv.wire.messages import Beat, EntriesReply, ErrorReply, Hello, Message, MutateReply, ReplicaEntry, WriteReplica
from crdtkv.wire.outgoing import Outgoing, packed

NODE = Hello("shop", "eu", "node", "eu-1")
CLIENT = Hello("shop", "eu", "client", "python-1")
EPOCH = 7
PATIENCE_S = 20.0


def frames_for(epoch: int, messages: list[Message]) -> bytes:
    return b"".join(packed(epoch, messages).frames)


def timeless(message: Message) -> Message:
    """Return a message without the clock of its sender."""
    return message._replace(clock_ms=0) if isinstance(message, Hello) else message


def frame_in(payload: bytes) -> Frame:
    frame = decode_frame(payload)
    return frame._replace(messages=[timeless(message) for message in frame.messages])


class Owner:
    """A `LinkUser` that records its calls."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.is_full = False
        self.links: list[Link] = []
        self.greetings: list[Hello] = []
        self.frames: list[Frame] = []
        self.reasons: list[str] = []
        self.outgoing: list[Outgoing] = []
        self.close_at_first_frame = False
        self.beats = 0
        self._changed = asyncio.Event()

    def greeted(self, link: Link, hello: Hello) -> None:
        if self.refuses:
            raise ProtocolError("not you")
        if self.is_full:
            raise Overloaded("no place")
        self.links.append(link)
        self.greetings.append(hello._replace(clock_ms=0))
        self._changed.set()

    def frame(self, link: Link, frame: Frame) -> None:
        self.frames.append(frame)
        if self.close_at_first_frame:
            link.close("enough")
        self._changed.set()

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        self.outgoing.append(outgoing)
        self._changed.set()

    def beat(self, link: Link) -> None:
        self.beats += 1
        self._changed.set()

    def lost(self, link: Link, reason: str) -> None:
        self.reasons.append(reason)
        self._changed.set()

    @property
    def messages(self) -> list[Message]:
        return [message for frame in self.frames for message in frame.messages]

    async def until(self, is_so: Callable[["Owner"], bool]) -> None:
        """Wait until something was told that makes it so."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Listener:
    """A port whose connections become links of one owner."""

    port: int
    owner: Owner
    hello: Hello = NODE
    made: list[Link] = field(default_factory=list)
    room: Room = field(default_factory=Room)
    server: asyncio.Server | None = None

    async def open(self) -> None:
        self.server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        for link in self.made:
            link.close("the listener closes")
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()
            self.server = None

    def _accept(self) -> Link:
        self.made.append(Link(self.owner, self.hello, lambda: EPOCH, self.room))
        return self.made[-1]


class Raw:
    """The other side of a link, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def greet(self, hello: Hello = CLIENT) -> None:
        self.write(frames_for(0, [hello]))

    async def payload(self) -> bytes:
        """Return the next frame's payload, empty for a heartbeat."""
        async with asyncio.timeout(PATIENCE_S):
            length = int.from_bytes(await self.reader.readexactly(4), "big")
            return await self.reader.readexactly(length)

    async def ended(self) -> bool:
        """Wait until the other side has closed."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
            return True

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener(free_ports(1)[0], Owner())
    await listener.open()
    yield listener
    await listener.close()


@pytest.fixture
async def raw(listener: Listener) -> AsyncIterator[Raw]:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    yield raw
    raw.close()


@pytest.fixture
async def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tenth of a second pass for silence, and half of one for a handshake."""
    monkeypatch.setattr(link_module, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(link_module, "DEAD_AFTER_S", 0.1)
    monkeypatch.setattr(link_module, "CLIENT_DEAD_AFTER_S", 0.1)
    monkeypatch.setattr(link_module, "HANDSHAKE_S", 0.5)


async def dialed(listener: Listener, owner: Owner, hello: Hello = CLIENT) -> Link:
    link = await connect(lambda: Link(owner, hello, lambda: 0), "127.0.0.1", listener.port)
    await owner.until(lambda owner: bool(owner.greetings))
    await listener.owner.until(lambda owner: bool(owner.greetings))
    return link


def replies(count: int, size: int) -> list[Message]:
    return [ReplicaEntry(number, bytes([number % 256]) * size) for number in range(count)]


# Handshake.


async def test_both_sides_learn_who_the_other_one_is(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    assert owner.greetings == [NODE]
    assert listener.owner.greetings == [CLIENT]
    assert link.hello is not None
    assert timeless(link.hello) == NODE
    assert link.is_open
    link.close("done")


async def test_each_side_knows_the_other_clock_and_never_thinks_it_later_than_it_is(listener: Listener) -> None:
    link = await dialed(listener, Owner())
    assert -1.0 < link.clock_ahead_s <= 0.0
    link.close("done")


async def test_the_first_thing_sent_is_the_handshake_under_the_epoch(raw: Raw) -> None:
    assert frame_in(await raw.payload()) == Frame(EPOCH, [NODE], 0)


async def test_messages_in_the_frame_of_the_handshake_are_delivered(listener: Listener, raw: Raw) -> None:
    raw.write(frames_for(3, [CLIENT, ReplicaEntry(1, None)]))
    await listener.owner.until(lambda owner: bool(owner.frames))
    assert listener.owner.greetings == [CLIENT]
    assert listener.owner.frames == [Frame(3, [ReplicaEntry(1, None)], 0)]


async def test_a_link_that_begins_with_another_message_is_closed(listener: Listener, raw: Raw) -> None:
    raw.write(frames_for(0, [ReplicaEntry(1, None)]))
    assert await raw.ended()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.reasons == ["protocol error: the first message on a link is the handshake"]
    assert listener.owner.frames == []


async def test_a_link_that_begins_with_an_empty_frame_is_closed(listener: Listener, raw: Raw) -> None:
    raw.write(frames_for(0, []))
    assert await raw.ended()
    assert listener.owner.reasons == ["protocol error: the first message on a link is the handshake"]


async def test_a_handshake_the_owner_refuses_closes_the_link(listener: Listener, raw: Raw) -> None:
    listener.owner.refuses = True
    raw.write(frames_for(0, [CLIENT, ReplicaEntry(1, None)]))
    assert await raw.ended()
    assert listener.owner.reasons == ["protocol error: not you"]
    assert listener.owner.frames == []


async def test_another_wire_version_is_refused_with_advice(listener: Listener, raw: Raw) -> None:
    newer = bytearray(frames_for(0, [CLIENT]))
    assert newer[5] == 1
    newer[5] = 2
    raw.write(bytes(newer))
    assert await raw.ended()
    assert listener.owner.reasons == ["protocol error: wire version 2 is not supported, only 1: upgrade the older side"]


# Frames.


async def test_messages_arrive_in_order_with_the_epoch_of_the_sender(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    listener.owner.links[0].send([ReplicaEntry(1, b"one"), ReplicaEntry(2, None)])
    listener.owner.links[0].send([ReplicaEntry(3, b"three")])
    await owner.until(lambda owner: len(owner.messages) == 3)
    assert owner.frames == [
        Frame(EPOCH, [ReplicaEntry(1, b"one"), ReplicaEntry(2, None)], 0),
        Frame(EPOCH, [ReplicaEntry(3, b"three")], 0),
    ]
    link.close("done")


async def test_a_frame_may_arrive_byte_by_byte(listener: Listener, raw: Raw) -> None:
    for byte in frames_for(0, [CLIENT]) + HEARTBEAT + frames_for(0, [ReplicaEntry(1, b"x")]):
        raw.write(bytes([byte]))
        await raw.writer.drain()
        await asyncio.sleep(0)
    await listener.owner.until(lambda owner: bool(owner.frames))
    assert listener.owner.messages == [ReplicaEntry(1, b"x")]


async def test_many_frames_may_arrive_at_once(listener: Listener, raw: Raw) -> None:
    frames = [frames_for(0, [message]) for message in replies(100, 10)]
    raw.write(frames_for(0, [CLIENT]) + b"".join(frames))
    await listener.owner.until(lambda owner: len(owner.frames) == 100)
    assert listener.owner.messages == replies(100, 10)


async def test_a_large_list_of_messages_is_split_and_arrives_whole(listener: Listener, raw: Raw) -> None:
    raw.greet()
    await listener.owner.until(lambda owner: bool(owner.links))
    messages = replies(64, 100_000)
    listener.owner.links[0].send(messages)
    assert frame_in(await raw.payload()).messages == [NODE]
    received: list[Message] = []
    payloads = []
    while len(received) < len(messages):
        payload = await raw.payload()
        if payload:
            payloads.append(payload)
            received += decode_frame(payload).messages
    assert received == messages
    assert len(payloads) >= 6_400_000 // TARGET_FRAME_BYTES
    assert all(len(payload) <= TARGET_FRAME_BYTES for payload in payloads)


async def test_a_message_larger_than_a_usual_frame_gets_one_of_its_own(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    messages = [ReplicaEntry(1, b"x"), ReplicaEntry(2, b"y" * (3 * TARGET_FRAME_BYTES)), ReplicaEntry(3, b"z")]
    link.send(messages)
    await listener.owner.until(lambda owner: len(owner.messages) == 3)
    assert listener.owner.messages == messages
    link.close("done")


async def test_messages_of_an_unknown_kind_are_skipped_and_counted(listener: Listener, raw: Raw) -> None:
    raw.greet()
    raw.write(framed(cbor.encode([1, 0, [[200, 5, None]]])))
    raw.write(frames_for(0, [ReplicaEntry(6, None)]))
    await listener.owner.until(lambda owner: ReplicaEntry(6, None) in owner.messages)
    assert listener.owner.messages == [ReplicaEntry(6, None)]
    assert sum(frame.skipped for frame in listener.owner.frames) == 1
    assert listener.owner.reasons == []


# Junk.


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"\xff" * 100,
        framed(b"\xff" * 100),
        framed(b"\x83\x01\x00\x80" + b"trailing"),
        framed(b"\xa0"),
        framed(b"\x9f" * 50),
        framed(b"\x81" * 50 + b"\x00"),
        framed(b"\xd8\x1c\x81\xd8\x1d\x00"),
    ],
    ids=["http", "tls", "ones", "framed ones", "trailing", "map", "indefinite", "deep", "cyclic"],
)
@pytest.mark.parametrize("is_greeted", [False, True], ids=["before the handshake", "after it"])
async def test_junk_closes_the_link_with_a_protocol_error(
    listener: Listener, raw: Raw, is_greeted: bool, junk: bytes
) -> None:
    if is_greeted:
        raw.greet()
    raw.write(junk)
    assert await raw.ended()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    (reason,) = listener.owner.reasons
    assert reason.startswith("protocol error: ")
    assert listener.owner.frames == []


async def test_a_frame_announced_as_too_large_closes_the_link_before_any_of_it_came(
    listener: Listener, raw: Raw
) -> None:
    raw.greet()
    raw.write((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    assert await raw.ended()
    assert listener.owner.reasons == [
        f"protocol error: a frame of {MAX_FRAME_BYTES + 1} bytes is announced, {MAX_FRAME_BYTES} are allowed"
    ]


async def test_what_came_before_the_junk_is_delivered_and_nothing_after_it(listener: Listener, raw: Raw) -> None:
    raw.greet()
    raw.write(frames_for(0, [ReplicaEntry(1, None)]) + framed(b"\xff") + frames_for(0, [ReplicaEntry(2, None)]))
    assert await raw.ended()
    assert listener.owner.messages == [ReplicaEntry(1, None)]


async def test_junk_on_one_link_leaves_the_others_alone(listener: Listener, raw: Raw) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    raw.write(b"\xff" * 100)
    assert await raw.ended()
    link.send([ReplicaEntry(1, None)])
    await listener.owner.until(lambda owner: bool(owner.messages))
    assert link.is_open
    link.close("done")


# Ends.


async def test_closing_is_told_once_on_both_sides(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    link.close("done")
    await owner.until(lambda owner: bool(owner.reasons))
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert owner.reasons == ["done"]
    assert len(listener.owner.reasons) == 1
    assert not link.is_open
    assert not listener.owner.links[0].is_open


async def test_nothing_is_delivered_after_the_owner_closed_the_link(listener: Listener, raw: Raw) -> None:
    listener.owner.close_at_first_frame = True
    raw.greet()
    raw.write(frames_for(0, [ReplicaEntry(1, None)]) + frames_for(0, [ReplicaEntry(2, None)]))
    assert await raw.ended()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.messages == [ReplicaEntry(1, None)]


async def test_sending_on_a_closed_link_does_nothing(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    link.close("done")
    link.send([ReplicaEntry(1, None)])
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.frames == []


# Liveness.


async def test_a_peer_that_falls_silent_is_noticed(quick: None, listener: Listener) -> None:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    raw.greet()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.greetings == [CLIENT]
    assert listener.owner.reasons == ["silent for 0.1 s"]
    raw.close()


async def test_a_peer_that_never_says_anything_is_noticed(quick: None, listener: Listener) -> None:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    assert await raw.ended()
    assert len(listener.owner.reasons) == 1
    assert listener.owner.greetings == []
    raw.close()


async def test_a_peer_that_beats_without_a_handshake_is_noticed(quick: None, listener: Listener) -> None:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))

    async def beat() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                raw.write(HEARTBEAT)
                await raw.writer.drain()
                await asyncio.sleep(0.01)

    beating = asyncio.create_task(beat())
    await listener.owner.until(lambda owner: bool(owner.reasons))
    beating.cancel()
    assert listener.owner.reasons == ["no handshake"]
    raw.close()


async def test_an_idle_link_is_kept_by_heartbeats(quick: None, listener: Listener) -> None:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    raw.greet()
    assert frame_in(await raw.payload()).messages == [NODE]
    for number in range(20):  # four times as long as silence is allowed
        (beat,) = decode_frame(await raw.payload()).messages
        assert isinstance(beat, Beat)
        raw.write(HEARTBEAT if number % 2 else frames_for(0, [Beat(beat.clock_ms + 5_000)]))
    assert listener.owner.reasons == []
    assert listener.owner.messages == []
    assert listener.owner.beats >= 9
    raw.close()


async def test_the_best_heartbeat_of_the_last_minute_tells_the_other_clock(
    quick: None, monkeypatch: pytest.MonkeyPatch, listener: Listener, raw: Raw
) -> None:
    """One that was held up makes nobody think the other clock is behind for long; one that is behind is followed."""
    now_ms = int(time.monotonic() * 1000)
    raw.greet(CLIENT._replace(clock_ms=now_ms + 3_500))  # held up for a second and a half
    await listener.owner.until(lambda owner: bool(owner.links))
    (link,) = listener.owner.links
    assert link.clock_ahead_s == pytest.approx(3.5, abs=1.0)
    await beaten(raw, listener, 5.0)
    assert link.clock_ahead_s == pytest.approx(5.0, abs=1.0)
    await beaten(raw, listener, 2.0)
    assert link.clock_ahead_s == pytest.approx(5.0, abs=1.0)
    monkeypatch.setattr(link_module, "CLOCK_WINDOW_S", 0.0)
    link._clock_until = 0.0
    for _ in range(2):
        await beaten(raw, listener, 2.0)
    assert link.clock_ahead_s == pytest.approx(2.0, abs=1.0)


async def beaten(raw: Raw, listener: Listener, ahead_s: float) -> None:
    """Have a heartbeat of a clock that is ahead come in."""
    before = listener.owner.beats
    raw.write(frames_for(0, [Beat(int((time.monotonic() + ahead_s) * 1000))]))
    await listener.owner.until(lambda owner: owner.beats > before)


# Bounds.


async def test_a_side_that_takes_nothing_for_a_while_is_given_up(
    monkeypatch: pytest.MonkeyPatch, quick: None, listener: Listener, raw: Raw
) -> None:
    monkeypatch.setattr(link_module, "STALLED_S", 0.1)
    raw.greet(CLIENT)
    await listener.owner.until(lambda owner: bool(owner.links))
    listener.owner.links[0].send([ReplicaEntry(1, b"x" * 12_000_000)])
    # Paused, it is not read from, so that it is not its silence that is noticed.
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.reasons == ["the other side does not keep up"]


async def test_a_node_that_does_not_read_is_asked_for_nothing_large_beyond_the_bound(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, raw: Raw
) -> None:
    monkeypatch.setattr(link_module, "MAX_UNSENT_BYTES", 8 * 1024 * 1024)
    raw.greet(NODE)
    await listener.owner.until(lambda owner: bool(owner.links))
    link = listener.owner.links[0]
    for number in range(60):
        link.send([WriteReplica(number, b"i", b"x" * 1_000_000, 0)])
    refused = [message.id for outgoing in listener.owner.outgoing for message in outgoing.returned]  # type: ignore[union-attr]
    assert 0 < len(refused) < 60
    assert refused == list(range(60 - len(refused), 60))
    assert link.is_open


async def test_what_must_be_told_is_told_up_to_twice_the_bound(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, raw: Raw
) -> None:
    monkeypatch.setattr(link_module, "MAX_UNSENT_BYTES", 1024 * 1024)
    raw.greet(NODE)
    await listener.owner.until(lambda owner: bool(owner.links))
    link = listener.owner.links[0]
    while link.is_open:
        link.send([MutateReply(number, 1, "x" * 40, 1) for number in range(10_000)])
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.reasons == ["the other side does not keep up"]
    assert listener.owner.outgoing == []


async def test_a_message_that_cannot_be_sent_leaves_the_others_and_the_link_alone(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    too_large = WriteReplica(2, b"i", bytes(MAX_FRAME_BYTES), 0)
    link.send([ReplicaEntry(1, b"one"), too_large, ReplicaEntry(3, b"three")])
    await listener.owner.until(lambda owner: len(owner.messages) == 2)
    assert listener.owner.messages == [ReplicaEntry(1, b"one"), ReplicaEntry(3, b"three")]
    (outgoing,) = owner.outgoing
    assert [message.id for message in outgoing.returned] == [2]  # type: ignore[union-attr]
    assert link.is_open
    link.close("done")


async def test_answers_above_the_frame_limit_all_arrive(listener: Listener) -> None:
    owner = Owner()
    link = await dialed(listener, owner)
    entries: list[object] = [bytes([number]) * 524_288 for number in range(40)]
    listener.owner.links[0].send([EntriesReply(0, entries)])
    await owner.until(lambda owner: sum(len(reply.entries) for reply in owner.messages) == 40)  # type: ignore[union-attr]
    assert [entry for reply in owner.messages for entry in reply.entries] == entries  # type: ignore[union-attr]
    link.close("done")


async def test_clients_share_one_room_and_get_it_back_when_one_has_gone(listener: Listener) -> None:
    listener.room = room = Room(3_000_000)
    first = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    second = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    for raw in (first, second):
        raw.greet()
    await listener.owner.until(lambda owner: len(owner.links) == 2)
    one, other = listener.owner.links
    # The kernel takes the first megabytes, as many as it likes.
    while room.left_bytes > 0 and not listener.owner.outgoing:
        one.send([EntriesReply(0, [b"x" * 1_000_000])])
    listener.owner.outgoing.clear()
    other.send([EntriesReply(0, [b"y" * 2_999_999])])
    assert [outgoing.held_back for outgoing in listener.owner.outgoing] == [1]
    one.close("gone")
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert room.left_bytes == 3_000_000
    other.send([EntriesReply(0, [b"y" * 2_000_000])])
    assert len(listener.owner.outgoing) == 1
    first.close()
    second.close()


async def test_a_large_request_that_does_not_end_gives_way_when_the_room_is_full(listener: Listener) -> None:
    listener.room = Room(1_000_000)
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    raw.greet()
    raw.write((8_000_000).to_bytes(4, "big") + bytes(2_000_000))
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.reasons == ["too many large requests at once"]
    assert listener.room.left_bytes == 1_000_000
    raw.close()


@pytest.mark.parametrize("is_first", [True, False], ids=["instead of it", "behind another one"])
async def test_more_than_4_kib_before_the_handshake_are_refused(listener: Listener, raw: Raw, is_first: bool) -> None:
    raw.write((4097).to_bytes(4, "big") + bytes(100) if is_first else HEARTBEAT + (2**24).to_bytes(4, "big"))
    assert await raw.ended()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    announced = 4097 if is_first else 2**24
    assert listener.owner.reasons == [f"protocol error: a frame of {announced} bytes is announced, 4096 are allowed"]


async def test_a_frame_of_millions_of_empty_lists_is_refused_and_not_decoded(listener: Listener, raw: Raw) -> None:
    raw.greet()
    count = 1_000_000
    raw.write(framed(b"\x83\x01\x00\x9a" + count.to_bytes(4, "big") + b"\x80" * count))
    assert await raw.ended()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.reasons == [f"protocol error: not valid here: more than {MAX_ITEMS} items"]


async def test_whoever_is_turned_away_reads_why(listener: Listener, raw: Raw) -> None:
    listener.owner.is_full = True
    assert frame_in(await raw.payload()).messages == [NODE]
    # More than the kernel takes: what is behind it must be waited for.
    ahead: list[Message] = [ReplicaEntry(1, bytes(12_000_000))]
    listener.made[0].send(ahead)
    raw.greet()
    assert frame_in(await raw.payload()).messages == ahead
    assert frame_in(await raw.payload()).messages == [ErrorReply(0, "overloaded", ["no place", 0])]
    assert await raw.ended()
    await listener.owner.until(lambda owner: bool(owner.reasons))
    assert listener.owner.reasons == ["no place"]
    assert listener.owner.frames == []


async def test_a_client_that_does_not_read_its_answers_is_not_read_from_until_it_does(
    listener: Listener, raw: Raw
) -> None:
    raw.greet(CLIENT)
    await listener.owner.until(lambda owner: bool(owner.links))
    link = listener.owner.links[0]
    for _ in range(24):
        link.send([ReplicaEntry(1, b"x" * 1_000_000)])
    raw.write(frames_for(0, [ReplicaEntry(2, None)]))
    await raw.writer.drain()
    for _ in range(100):
        await asyncio.sleep(0)
    assert listener.owner.messages == []
    answers = 0
    while answers < 24:
        payload = await raw.payload()
        if payload and frame_in(payload).messages != [NODE]:
            answers += 1
    await listener.owner.until(lambda owner: bool(owner.messages))
    assert listener.owner.messages == [ReplicaEntry(2, None)]
    assert link.is_open


# Dialing.


class Kept:
    """An owner whose links a dialer keeps."""

    def __init__(self, port: int) -> None:
        self.owner = Owner()
        self.dialer = Dialer(lambda: Link(self, CLIENT, lambda: 0), "127.0.0.1", port)

    def greeted(self, link: Link, hello: Hello) -> None:
        self.owner.greeted(link, hello)

    def frame(self, link: Link, frame: Frame) -> None:
        self.owner.frame(link, frame)

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        self.owner.unsent(link, outgoing)

    def beat(self, link: Link) -> None:
        self.owner.beat(link)

    def lost(self, link: Link, reason: str) -> None:
        self.owner.lost(link, reason)
        self.dialer.lost()

    async def stop(self) -> None:
        await self.dialer.stop()
        for link in self.owner.links:
            link.close("stopped")


async def test_connecting_where_nobody_listens_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r".+"):
        await connect(lambda: Link(Owner(), CLIENT, lambda: 0), "127.0.0.1", free_ports(1)[0])


async def test_a_dialer_keeps_trying_until_somebody_listens() -> None:
    listener = Listener(free_ports(1)[0], Owner())
    kept = Kept(listener.port)
    kept.dialer.start()
    await asyncio.sleep(0.2)
    assert kept.owner.greetings == []
    await listener.open()
    await kept.owner.until(lambda owner: owner.greetings == [NODE])
    await kept.stop()
    await listener.close()


async def test_a_dialer_connects_again_when_the_link_breaks() -> None:
    listener = Listener(free_ports(1)[0], Owner())
    await listener.open()
    kept = Kept(listener.port)
    kept.dialer.start()
    for count in range(1, 4):
        await kept.owner.until(lambda owner, count=count: len(owner.greetings) == count)
        await listener.owner.until(lambda owner, count=count: len(owner.greetings) == count)
        listener.owner.links[-1].close("kicked")
        await kept.owner.until(lambda owner, count=count: len(owner.reasons) == count)
    await kept.owner.until(lambda owner: len(owner.greetings) == 4)
    await kept.stop()
    await listener.close()


async def test_a_dialer_connects_again_when_the_listener_was_restarted() -> None:
    listener = Listener(free_ports(1)[0], Owner())
    await listener.open()
    kept = Kept(listener.port)
    kept.dialer.start()
    await kept.owner.until(lambda owner: len(owner.greetings) == 1)
    await listener.close()
    await kept.owner.until(lambda owner: len(owner.reasons) == 1)
    await listener.open()
    await kept.owner.until(lambda owner: len(owner.greetings) == 2)
    assert kept.owner.links[-1].is_open
    await kept.stop()
    await listener.close()


async def test_a_dialer_keeps_one_link_at_a_time(listener: Listener) -> None:
    kept = Kept(listener.port)
    kept.dialer.start()
    await kept.owner.until(lambda owner: len(owner.greetings) == 1)
    await asyncio.sleep(0.3)  # several times its first pause between attempts
    assert len(listener.made) == 1
    await kept.stop()


async def test_a_stopped_dialer_leaves_the_port_alone(listener: Listener) -> None:
    kept = Kept(listener.port)
    kept.dialer.start()
    await kept.owner.until(lambda owner: len(owner.greetings) == 1)
    await kept.stop()
    await kept.owner.until(lambda owner: len(owner.reasons) == 1)
    await asyncio.sleep(0.3)
    assert len(listener.made) == 1
