"""The host of one simulated node: it feeds a `NodeCore` and carries out its effects, as the server does.

Batching is the server's: events that arrive while a step is due are handled together. The rule of durability is
carried out here for real: held effects leave after a simulated fsync, and a power loss forgets what was not synced. The
identity is established by the product's own code. A paused process does nothing, but what arrives waits for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import StorageError
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import Effects, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import ClientGone, Durable, Event, Now, Peer, PeerDown, PeerUp, Received
from crdtkv.ring.topology import Topology
from crdtkv.sim.disk import SimDisk
from crdtkv.sim.network import Network
from crdtkv.sim.scheduler import Scheduler
from crdtkv.storage import identity, rows
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.frames import LENGTH_BYTES
from crdtkv.wire.messages import Message, MutateRequest
from crdtkv.wire.outgoing import packed

EPOCH_MS = 1_700_000_000_000


class World(Protocol):
    """What a host needs of the cluster around it."""

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """Return where frames for a node or client go."""
        ...

    def first_topology(self, host: "SimNode", stored: Topology | None) -> Topology:
        """Agree on a topology at a node's start."""
        ...

    def starts_remembered(self, host: "SimNode") -> int | None:
        """Return the highest number of a start that was noted in the topology bucket, None if NATS cannot be asked."""
        ...

    def note_start(self, host: "SimNode", starts: int) -> None:
        """Note the number of a start in the topology bucket, if NATS can be reached."""
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

    def propose(self, host: "SimNode", proposal: Proposal) -> None:
        """Change the topology document by compare-and-set."""
        ...

    def refresh_topology(self, host: "SimNode") -> None:
        """Look at the topology bucket now."""
        ...

    def stepping(self, host: "SimNode", events: list[Event]) -> None:
        """Look at what a step is about to take in."""
        ...

    def stepped(self, host: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at what a step did."""
        ...

    def new_incarnation(self, host: "SimNode", who: identity.Identity) -> None:
        """Learn that a start has begun a new incarnation."""
        ...

    def disk_failed(self, host: "SimNode") -> None:
        """Learn that the process has to stop."""
        ...

    def sending(self, host: "SimNode", peer: Peer, messages: list[Message]) -> None:
        """Look at what is really sent."""
        ...

    def trace(self, sender: str, receiver: str, payload: bytes) -> None:
        """Note what is sent for the trace and its digest."""
        ...

    def note(self, text: str) -> None:
        """Note for people what happened."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Which node a host is."""

    datacenter: str
    node: str


class SimNode:
    """One node: its disk survives crashes, its core does not."""

    def __init__(
        self, place: Place, config: ClusterConfig, world: World, scheduler: Scheduler, network: Network, seed: int
    ) -> None:
        self.place = place
        self._config = config
        self._world = world
        self._scheduler = scheduler
        self._network = network
        self._random = Random(f"node {seed} {place.node}")
        self._owner = identity.Owner(config.cluster, place.datacenter, place.node)
        self.disk = SimDisk(place.node, self._random)
        self.clock_offset_s = 0.0
        self.clock_drift = 0.0
        self.core: NodeCore | None = None
        self.life = 0
        self.is_paused = False
        #: Done once, soon after the next commit: what strikes while something is not synced yet.
        self.ambush: Callable[[], None] | None = None
        self.clients: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self.core is not None

    @property
    def starts_to_note(self) -> int:
        """The number of the start that the topology bucket should hold, 0 if that could not be asked at the start."""
        return self._starts_to_note

    @property
    def wall_ms(self) -> int:
        """What its clock shows."""
        return self._now().wall_ms

    def know_client(self, number: int, name: str) -> None:
        """Give a client's link its number."""
        self.clients[number] = name
        self._numbers[name] = number

    def start(self) -> None:
        """Start the process on what the disk holds.

        Raises:
            StorageError: the disk failed at once.
        """
        self.life += 1
        self.is_paused = False
        disk, owner = self.disk, self._owner
        who = identity.establish(disk.record, disk, owner, self._random.getrandbits(64))
        remembered = self._world.starts_remembered(self)
        self._who = identity.outlive(disk.record, disk, owner, who, remembered, self._random.getrandbits(64))
        self._starts_to_note = self._who.starts if remembered is not None else 0
        self._world.note_start(self, self._starts_to_note)
        if identity.is_fenced(self._who, disk, self._now().wall_ms, self._config.collection.gc_grace_s):
            self._world.note(f"{self.place.node} sets an old copy aside")
            disk.wipe(with_record=False)
            self._who = identity.establish(disk.record, disk, owner, self._random.getrandbits(64))
        self.disk.keep_backup()
        stored = self.disk.get(rows.TOPOLOGY)
        topology = self._world.first_topology(self, Topology.from_json(stored) if stored is not None else None)
        self.disk.put(rows.TOPOLOGY, topology.to_json())
        self.disk.commit()
        self.disk.sync()
        settings = NodeSettings(
            self._config,
            self.place.datacenter,
            self.place.node,
            topology,
            self._who.incarnation,
            self._who.starts,
            is_checked=remembered is not None,
        )
        if self._who.renewed_because:
            self._world.new_incarnation(self, self._who)
        self.core = NodeCore(settings, self.disk, self._random, self._now())
        self._inbox: list[Event] = []
        self._step_is_due = False
        self._held: list[Effects] = []
        self._syncing = False
        self._timer_at: float | None = None
        self._postponed: list[Callable[[], None]] = []

    def stop(self, survivors: int | None = None) -> int:
        """End the process, with that many unsynced commits left (None: all); return how many are lost."""
        lost = self.disk.crash(self.disk.unsynced if survivors is None else survivors)
        self.core = None
        self.is_paused = False
        return lost

    def pause(self) -> None:
        """Do nothing from now on."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on, with all that has arrived meanwhile."""
        self.is_paused = False
        postponed, self._postponed = self._postponed, []
        for act in postponed:
            if self.core is not None:
                act()

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
        self.put(Received(self._numbers.get(sender, sender), frame.epoch, frame.messages))

    def peer_up(self, node: str) -> None:
        """Learn that the link to a node stands."""
        self.put(PeerUp(node))

    def peer_down(self, node: str) -> None:
        """Learn that the link to a node broke."""
        self.put(PeerDown(node))

    def client_gone(self, name: str) -> None:
        """Learn that a client's link is gone."""
        self.put(ClientGone(self._numbers[name]))

    def _step(self) -> None:
        assert self.core is not None
        self._step_is_due = False
        events, self._inbox = self._inbox, []
        self._world.stepping(self, events)
        try:
            effects = self.core.handle(events, self._now())
        except StorageError as error:
            self._stop_because(error)
            return
        self._world.stepped(self, events, effects)
        self._carry_out(effects)
        if self.core is not None:
            self._arm_timer()

    def _carry_out(self, effects: Effects) -> None:
        for note in effects.notes:
            self._world.note(f"{self.place.node}: {note}")
        if effects.new_incarnation is not None:
            self._who = replace(self._who, incarnation=effects.new_incarnation)
            identity.save(self.disk.record, self._owner, self._who)
        assert effects.stop is None, effects.stop  # there is one process of each name
        if effects.refresh_topology:
            self._world.refresh_topology(self)
        for peer, messages in effects.at_once.items():
            self._send(peer, messages)
        if effects.after_commit:
            self._held.append(effects)
            self._sync()
            if self.ambush is not None:
                ambush, self.ambush = self.ambush, None
                self._later(self._random.uniform(0, self._network.weather.fsync_max_s / 2), ambush)
        else:
            self._release(effects)

    def _sync(self) -> None:
        """Group commit: one fsync at a time, covering what was committed when it began."""
        if self._syncing or not self._held:
            return
        self._syncing = True
        covers_disk = self.disk.commits
        covers = self._held[-1].after_commit

        def synced() -> None:
            self._syncing = False
            try:
                self.disk.sync_to(covers_disk)
            except StorageError as error:
                self._stop_because(error)
                return
            released = [effects for effects in self._held if effects.after_commit <= covers]
            self._held = [effects for effects in self._held if effects.after_commit > covers]
            for effects in released:
                self._release(effects)
            self.put(Durable(covers))
            self._sync()

        longest_s = self._network.weather.fsync_max_s * self.disk.slowness
        self._later(self._random.uniform(0, longest_s), synced)

    def _release(self, effects: Effects) -> None:
        for peer, messages in effects.held.items():
            self._send(peer, messages)
        for publish in effects.held_publishes:
            self._world.publish(self, publish)
        for send in effects.held_bus:
            self._world.send_bus(self, send)
        if effects.held_proposal is not None:
            self._world.propose(self, effects.held_proposal)
        for ack in effects.held_acks:
            self._world.ack(self, ack.handle, ack.applied)

    def _send(self, peer: Peer, messages: list[Message]) -> None:
        assert self.core is not None
        outgoing = packed(self.core.topology.epoch, messages)
        may_double = not any(isinstance(message, MutateRequest) for message in messages)
        receiver = peer if isinstance(peer, str) else self.clients[peer]
        self._world.sending(self, peer, messages)
        for frame in outgoing.frames:
            payload = frame[LENGTH_BYTES:]
            self._world.trace(self.place.node, receiver, payload)
            self._network.send(self.place.node, receiver, payload, self._world.deliver(receiver), may_double)
        if outgoing.returned:
            self.put(Received(peer, 0, outgoing.returned))

    def _stop_because(self, error: StorageError) -> None:
        self._world.note(f"{self.place.node} stops: {error}")
        self._world.disk_failed(self)

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
        """Run something later, unless this life of the process has ended by then, or when its pause has."""
        life = self.life

        def run() -> None:
            if self.core is None or self.life != life:
                return
            if self.is_paused:
                self._postponed.append(act)
            else:
                act()

        self._scheduler.after(delay_s, run)

    def _now(self) -> Now:
        now_s = self._scheduler.now
        wall_ms = EPOCH_MS + int((now_s * (1 + self.clock_drift) + self.clock_offset_s) * 1000)
        return Now(now_s, max(1, wall_ms))
