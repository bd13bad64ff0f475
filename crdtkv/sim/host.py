"""The host of one simulated node: it feeds a `NodeCore` and carries out its effects, as the server does.

Batching is the server's: events that arrive while a step is due are handled together. The rule of durability is
carried out here for real: held effects leave after a simulated fsync, and a crash forgets what was not synced.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from crdtkv.config.model import ClusterConfig
from crdtkv.node.core import NodeCore, NodeSettings
from crdtkv.node.effects import Effects, Publish, SendBus
from crdtkv.node.events import Durable, Event, Now, Peer, PeerDown, PeerUp, Received
from crdtkv.sim.network import Network
from crdtkv.sim.scheduler import Scheduler
from crdtkv.storage import rows
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import Message, MutateRequest

EPOCH_MS = 1_700_000_000_000


class World(Protocol):
    """What a host needs of the cluster around it."""

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """Return where frames for a node or client go."""
        ...

    def publish(self, host: "SimNode", publish: Publish) -> None:
        """Send to the stream of the host's data center."""
        ...

    def send_bus(self, host: "SimNode", send: SendBus) -> None:
        """Send to a node of another data center."""
        ...

    def ack(self, host: "SimNode", handle: int, applied: bool) -> None:
        """Acknowledge a stream message, or ask for it again."""
        ...

    def trace(self, line: str) -> None:
        """Note a line for the trace and its digest."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Which node a host is."""

    datacenter: str
    node: str


class SimNode:
    """One node: its disk survives crashes, its core does not."""

    def __init__(
        self,
        place: Place,
        config: ClusterConfig,
        world: World,
        scheduler: Scheduler,
        network: Network,
        random: Random,
    ) -> None:
        self.place = place
        self._config = config
        self._world = world
        self._scheduler = scheduler
        self._network = network
        self._random = random
        self.store = MemoryStore()
        self.skew_s = 0.0
        self.core: NodeCore | None = None
        self.life = 0
        self.clients: dict[int, str] = {}

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self.core is not None

    def start(self) -> None:
        """Start the process on what the disk holds."""
        self.life += 1
        stored = self.store.get(rows.IDENTITY)
        incarnation = int.from_bytes(stored, "big") if stored else self._random.getrandbits(64)
        if stored is None:
            self.store.put(rows.IDENTITY, incarnation.to_bytes(8, "big"))
            self.store.commit()
            self.store.sync()
        topology = self._config.first_topology(self.place.datacenter)
        settings = NodeSettings(self._config, self.place.datacenter, self.place.node, topology, incarnation)
        self.core = NodeCore(settings, self.store, self._random, self._now())
        self._inbox: list[Event] = []
        self._step_is_due = False
        self._held: list[Effects] = []
        self._syncing = False
        self._timer_at: float | None = None

    def crash(self) -> None:
        """Lose power: the process ends, and some of what was not synced is gone."""
        survivors = self._random.randint(0, self.store.unsynced)
        lost = self.store.crash(survivors)
        self.core = None
        self._world.trace(f"{self.place.node} crashed, lost {lost} commits")

    def put(self, event: Event) -> None:
        """Hand an event to the node; it is handled with all others that have arrived by then."""
        if self.core is None:
            return
        self._inbox.append(event)
        if not self._step_is_due:
            self._step_is_due = True
            self._later(0.0, self._step)

    def receive(self, sender: str, payload: bytes) -> None:
        """Take a frame from a node or client."""
        frame = decode_frame(payload)
        self.put(Received(self._peer(sender), frame.epoch, frame.messages))

    def peer_up(self, node: str) -> None:
        """Learn that the link to a node stands."""
        self.put(PeerUp(node))

    def peer_down(self, node: str) -> None:
        """Learn that the link to a node broke."""
        self.put(PeerDown(node))

    def _step(self) -> None:
        assert self.core is not None
        self._step_is_due = False
        events, self._inbox = self._inbox, []
        self._carry_out(self.core.handle(events, self._now()))
        self._arm_timer()

    def _carry_out(self, effects: Effects) -> None:
        assert self.core is not None
        for note in effects.notes:
            self._world.trace(f"{self.place.node} {note}")
        for peer, messages in effects.at_once.items():
            self._send(peer, messages)
        if effects.after_commit:
            self._held.append(effects)
            self._sync()
        else:
            self._release(effects)

    def _sync(self) -> None:
        """Group commit: one fsync at a time, covering what was committed when it began."""
        if self._syncing or not self._held:
            return
        self._syncing = True
        covers_store = self.store.commits
        covers = self._held[-1].after_commit

        def synced() -> None:
            self._syncing = False
            self.store.sync_to(covers_store)
            released = [effects for effects in self._held if effects.after_commit <= covers]
            self._held = [effects for effects in self._held if effects.after_commit > covers]
            for effects in released:
                self._release(effects)
            self.put(Durable(covers))
            self._sync()

        self._later(self._random.uniform(0, self._network.faults.fsync_max_s), synced)

    def _release(self, effects: Effects) -> None:
        assert self.core is not None
        for peer, messages in effects.held.items():
            self._send(peer, messages)
        for publish in effects.held_publishes:
            self._world.publish(self, publish)
        for send in effects.held_bus:
            self._world.send_bus(self, send)
        for ack in effects.held_acks:
            self._world.ack(self, ack.handle, ack.applied)

    def _send(self, peer: Peer, messages: list[Message]) -> None:
        assert self.core is not None
        payload = encode_frame(self.core.topology.epoch, messages)
        may_double = not any(isinstance(message, MutateRequest) for message in messages)
        receiver = peer if isinstance(peer, str) else self.clients[peer]
        self._world.trace(f"{self.place.node}>{receiver} {payload.hex()}")
        self._network.send(self.place.node, receiver, payload, self._world.deliver(receiver), may_double)

    def _peer(self, sender: str) -> Peer:
        for number, client in self.clients.items():
            if client == sender:
                return number
        return sender

    def _arm_timer(self) -> None:
        assert self.core is not None
        at_s = self.core.next_timer()
        if at_s is None or (self._timer_at is not None and self._timer_at <= at_s):
            return
        self._timer_at = at_s

        def wake() -> None:
            if self._timer_at == at_s:
                self._timer_at = None
            if not self._step_is_due:
                self._step_is_due = True
                self._step()

        self._later(at_s - self._scheduler.now, wake)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Run something later, unless this life of the process has ended by then."""
        life = self.life

        def run() -> None:
            if self.core is not None and self.life == life:
                act()

        self._scheduler.after(delay_s, run)

    def _now(self) -> Now:
        return Now(self._scheduler.now, EPOCH_MS + int((self._scheduler.now + self.skew_s) * 1000))
