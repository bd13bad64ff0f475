"""The host of one simulated node: it feeds a `NodeCore` and carries out its effects, as the server does.

Batching is the server's: events that arrive while a step is due are handled together. What leaves when is decided by
the server's own `GroupCommit`, on a simulated fsync; a power loss forgets what was not synced. The identity is
established by the product's own code. A paused process does nothing, but what arrives waits for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Protocol

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import StorageError
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import AckStream, Effects, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import ClientGone, Durable, Event, Now, Peer, PeerDown, PeerUp, Received
from crdtkv.node.kernel.group_commit import GroupCommit
from crdtkv.node.kernel.world import carry_out, release
from crdtkv.ring.topology import Topology
from crdtkv.sim.world.disk import SimDisk
from crdtkv.sim.world.network import Network
from crdtkv.sim.world.scheduler import Scheduler
from crdtkv.storage import identity, rows
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.frames import LENGTH_BYTES
from crdtkv.wire.messages import Message, MutateRequest
from crdtkv.wire.outgoing import packed

if TYPE_CHECKING:
    from crdtkv.sim.world.nats import SimNats

EPOCH_MS = 1_700_000_000_000


class Simulation(Protocol):
    """What a host needs of the simulation beside the `World` of its node: the other ends, and who watches."""

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """Return where frames for a node or client go."""
        ...

    def disk_failed(self, host: "SimNode") -> None:
        """Learn that the process has to stop."""
        ...

    def new_incarnation(self, host: "SimNode", who: identity.Identity) -> None:
        """Learn that a start has begun a new incarnation."""
        ...

    def stepping(self, host: "SimNode", events: list[Event]) -> None:
        """Look at what a step is about to take in."""
        ...

    def stepped(self, host: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at what a step did."""
        ...

    def releasing(self, host: "SimNode", effects: Effects) -> None:
        """Look at a step's held effects that are about to leave."""
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
        self,
        place: Place,
        config: ClusterConfig,
        simulation: Simulation,
        nats: "SimNats",
        scheduler: Scheduler,
        network: Network,
        seed: int,
    ) -> None:
        self.place = place
        self._config = config
        self._simulation = simulation
        self._nats = nats
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
        remembered = self._nats.starts_remembered(self)
        self._who = identity.outlive(disk.record, disk, owner, who, remembered, self._random.getrandbits(64))
        self._starts_to_note = self._who.starts if remembered is not None else 0
        self._nats.note_start(self, self._starts_to_note)
        if identity.is_fenced(self._who, disk, self._now().wall_ms, self._config.collection.gc_grace_s):
            self._simulation.note(f"{self.place.node} sets an old copy aside")
            disk.wipe(with_record=False)
            self._who = identity.establish(disk.record, disk, owner, self._random.getrandbits(64))
        self.disk.keep_backup()
        stored = self.disk.get(rows.TOPOLOGY)
        known = Topology.from_json(stored) if stored is not None else None
        topology = self._nats.first_topology(self.place.datacenter, known)
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
            self._simulation.new_incarnation(self, self._who)
        self.core = NodeCore(settings, self.disk, self._random, self._now())
        self._inbox: list[Event] = []
        self._step_is_due = False
        self._group = GroupCommit()
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
        self._simulation.stepping(self, events)
        try:
            effects = self.core.handle(events, self._now())
        except StorageError as error:
            self._stop_because(error)
            return
        self._simulation.stepped(self, events, effects)
        self._carry_out(effects)
        if self.core is not None:
            self._arm_timer()

    # What effects want done (`World`):

    def send(self, peer: Peer, messages: list[Message]) -> None:
        """See `World.send`."""
        assert self.core is not None
        outgoing = packed(self.core.topology.epoch, messages)
        may_double = not any(isinstance(message, MutateRequest) for message in messages)
        receiver = peer if isinstance(peer, str) else self.clients[peer]
        self._simulation.sending(self, peer, messages)
        for frame in outgoing.frames:
            payload = frame[LENGTH_BYTES:]
            self._simulation.trace(self.place.node, receiver, payload)
            self._network.send(self.place.node, receiver, payload, self._simulation.deliver(receiver), may_double)
        if outgoing.returned:
            self.put(Received(peer, 0, outgoing.returned))

    def publish(self, publish: Publish) -> None:
        """See `World.publish`."""
        self._nats.publish(self, publish)

    def send_bus(self, send: SendBus) -> None:
        """See `World.send_bus`."""
        self._nats.send(self, send)

    def propose(self, proposal: Proposal) -> None:
        """See `World.propose`."""
        self._nats.propose(self, proposal)

    def ack(self, ack: AckStream) -> None:
        """See `World.ack`."""
        self._nats.ack(self, ack.handle, ack.applied)

    def note(self, text: str) -> None:
        """See `World.note`."""
        self._simulation.note(f"{self.place.node}: {text}")

    def save_incarnation(self, incarnation: int) -> None:
        """See `World.save_incarnation`."""
        self._who = replace(self._who, incarnation=incarnation)
        identity.save(self.disk.record, self._owner, self._who)

    def follow_topology(self, topology: Topology) -> None:
        """See `World.follow_topology`: simulated nodes have no addresses."""

    def refresh_topology(self) -> None:
        """See `World.refresh_topology`."""
        self._nats.refresh_topology(self)

    def halt(self, reason: str) -> None:
        """See `World.halt`: there is one process of each name, so no node may ask for it."""
        raise AssertionError(reason)

    # Behind it.

    def _carry_out(self, effects: Effects) -> None:
        carry_out(effects, self)
        self._release(self._group.stepped(effects))
        self._sync()
        if effects.after_commit and self.ambush is not None:
            ambush, self.ambush = self.ambush, None
            self._later(self._random.uniform(0, self._network.weather.fsync_max_s / 2), ambush)

    def _release(self, released: list[Effects]) -> None:
        for effects in released:
            self._simulation.releasing(self, effects)
            release(effects, self)

    def _sync(self) -> None:
        """Let a simulated fsync end after a while; it makes durable what is committed now."""
        if not self._group.begin_sync():
            return
        commits = self.disk.commits

        def synced() -> None:
            error = None
            try:
                self.disk.sync_to(commits)
            except StorageError as failure:
                error = failure
            self._release(self._group.sync_ended(is_durable=error is None))
            if error is not None:
                self._stop_because(error)
                return
            self.put(Durable(self._group.durable))
            self._sync()

        longest_s = self._network.weather.fsync_max_s * self.disk.slowness
        self._later(self._random.uniform(0, longest_s), synced)

    def _stop_because(self, error: StorageError) -> None:
        self._simulation.note(f"{self.place.node} stops: {error}")
        self._simulation.disk_failed(self)

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
