"""The host of one simulated node: it feeds a `NodeCore` and carries out its effects, as the server does.

It batches as the server does: a step handles all events that have arrived by then. The product's own `GroupCommit`
decides when held effects are released, on a simulated fsync; a power loss takes commits that were not synced. The
product's own code establishes the identity of the disk. A paused process does nothing; events wait until it resumes.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Protocol

from crdtkv.errors import StorageError
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import AckStream, Effects, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import ClientGone, Durable, Event, Now, Peer, PeerDown, PeerUp, Received
from crdtkv.node.kernel.group_commit import GroupCommit
from crdtkv.node.kernel.world import carry_out, release
from crdtkv.ring.topology import Topology
from crdtkv.sim.world.disk import SimDisk
from crdtkv.sim.world.environment import Environment
from crdtkv.sim.world.observer import NodeWrites
from crdtkv.sim.world.view import Place
from crdtkv.storage import identity, rows
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.frames import LENGTH_BYTES
from crdtkv.wire.messages import Message, MutateRequest
from crdtkv.wire.outgoing import packed

EPOCH_MS = 1_700_000_000_000


class Bus(Protocol):
    """The NATS servers, as a node uses them."""

    def publish(self, host: "SimNode", publish: Publish) -> None:
        """Publish a payload to the stream of the node's data center, and report whether the stream accepted it."""
        ...

    def send(self, host: "SimNode", send: SendBus) -> None:
        """Send a payload to a node of another data center."""
        ...

    def ack(self, host: "SimNode", handle: int, applied: bool) -> None:
        """Acknowledge a stream message, or request its redelivery."""
        ...

    def propose(self, host: "SimNode", proposal: Proposal) -> None:
        """Replace the topology document by compare-and-set."""
        ...

    def refresh_topology(self, host: "SimNode") -> None:
        """Read the topology document soon."""
        ...

    def first_topology(self, datacenter: str, stored: Topology | None) -> Topology:
        """Return the topology with which a node starts."""
        ...

    def starts_remembered(self, host: "SimNode") -> int | None:
        """Return the highest number of a start in the topology bucket, None if NATS is unreachable."""
        ...

    def note_start(self, host: "SimNode", starts: int) -> None:
        """Store the number of a start in the topology bucket, if NATS is reachable."""
        ...


class Surroundings(Protocol):
    """The world around one node: the other ends of its links, and the supervisor of its process."""

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """Return the method that receives the frames for a node or client."""
        ...

    def disk_failed(self, host: "SimNode") -> None:
        """Stop the process, and start it again later."""
        ...


class SimNode:
    """One node: its disk survives crashes, its core does not."""

    def __init__(
        self,
        place: Place,
        environment: Environment,
        bus: Bus,
        surroundings: Surroundings,
    ) -> None:
        self.place = place
        self._environment = environment
        self._bus = bus
        self._surroundings = surroundings
        self._config = environment.config
        self._scheduler = environment.scheduler
        self._network = environment.network
        self._random = Random(f"node {environment.plan.seed} {place.node}")
        self._owner = identity.Owner(self._config.cluster, place.datacenter, place.node)
        self.disk = SimDisk(place.node, self._random)
        self.disk.on_commit = lambda batch: environment.observer.committing(self, batch)
        self.disk.on_durable = lambda batch: environment.observer.durable(self, batch)
        self.clock_offset_s = 0.0
        self.clock_drift = 0.0
        self.core: NodeCore | None = None
        self.process = 0
        self.is_paused = False
        #: Called once, soon after the next commit: a fault that strikes while a commit is not synced.
        self.ambush: Callable[[], None] | None = None
        self.clients: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    @property
    def is_up(self) -> bool:
        """Whether the process runs."""
        return self.core is not None

    @property
    def starts_to_note(self) -> int:
        """The number of the start for the topology bucket, 0 if the bucket was unreachable at the start."""
        return self._starts_to_note

    @property
    def wall_ms(self) -> int:
        """The time of its clock, in milliseconds since 1970."""
        return self._now().wall_ms

    def know_client(self, number: int, name: str) -> None:
        """Assign a number to the link of a client."""
        self.clients[number] = name
        self._numbers[name] = number

    def start(self) -> None:
        """Start the process on the present content of the disk.

        Raises:
            StorageError: the disk has failed; the process does not run.
        """
        self.process += 1
        self.is_paused = False
        disk, owner = self.disk, self._owner
        who = identity.establish(disk.record, disk, owner, self._random.getrandbits(64))
        remembered = self._bus.starts_remembered(self)
        self._who = identity.outlive(disk.record, disk, owner, who, remembered, self._random.getrandbits(64))
        self._starts_to_note = self._who.starts if remembered is not None else 0
        self._bus.note_start(self, self._starts_to_note)
        if identity.is_fenced(self._who, disk, self._now().wall_ms, self._config.collection.gc_grace_s):
            self._environment.note(f"{self.place.node} sets an old copy aside")
            disk.wipe(with_record=False)
            self._who = identity.establish(disk.record, disk, owner, self._random.getrandbits(64))
        self.disk.keep_backup()
        stored = self.disk.get(rows.TOPOLOGY)
        known = Topology.from_json(stored) if stored is not None else None
        topology = self._bus.first_topology(self.place.datacenter, known)
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
            is_replacement=self._who.is_replacement,
        )
        if self._who.renewed_because:
            self._note_renewal(self._who.renewed_because)
        self.core = NodeCore(settings, self.disk, self._random, self._now())
        self.core.parts.replica.observer = NodeWrites(self, self._environment.observer)
        self._inbox: list[Event] = []
        self._step_is_due = False
        self._group = GroupCommit()
        self._timer_at: float | None = None
        self._postponed: list[Callable[[], None]] = []

    def _note_renewal(self, reason: str) -> None:
        """Report a start under a new incarnation, unless it is the first one of the node."""
        self._environment.note(f"{self.place.node} starts as a new incarnation: {reason}")
        if reason != "first start" or self._who.starts > 1:
            self._environment.count("incarnations_new_at_start")
            self._environment.observer.lost_data(self, reason)

    def stop(self, survivors: int | None = None) -> int:
        """End the process; keep the first `survivors` unsynced commits (None: all); return how many are lost."""
        lost = self.disk.crash(self.disk.unsynced if survivors is None else survivors)
        self.core = None
        self.is_paused = False
        return lost

    def pause(self) -> None:
        """Stop all activity of the process, until `resume`."""
        self.is_paused = True

    def resume(self) -> None:
        """Continue, with all events that have arrived meanwhile."""
        self.is_paused = False
        postponed, self._postponed = self._postponed, []
        for act in postponed:
            if self.core is not None:
                act()

    def put(self, event: Event) -> None:
        """Give the node an event; the next step handles it together with all others."""
        if self.core is None:
            return
        self._inbox.append(event)
        if not self._step_is_due:
            self._step_is_due = True
            self._later(0.0, self._step)

    def receive(self, sender: str, payload: bytes) -> None:
        """Handle a frame from a node or client."""
        frame = decode_frame(payload)
        self.put(Received(self._numbers.get(sender, sender), frame.epoch, frame.messages))

    def peer_up(self, node: str) -> None:
        """Report that the link to a node works."""
        self.put(PeerUp(node))

    def peer_down(self, node: str) -> None:
        """Report that the link to a node has broken."""
        self.put(PeerDown(node))

    def client_gone(self, name: str) -> None:
        """Report that the link of a client has ended."""
        self.put(ClientGone(self._numbers[name]))

    def _step(self) -> None:
        assert self.core is not None
        self._step_is_due = False
        events, self._inbox = self._inbox, []
        self._environment.observer.stepping(self, events)
        try:
            effects = self.core.handle(events, self._now())
        except StorageError as error:
            self._stop_because(error)
            return
        self._environment.observer.stepped(self, events, effects)
        self._carry_out(effects)
        if self.core is not None:
            self._arm_timer()

    # The effects of the core (`World`):

    def send(self, peer: Peer, messages: list[Message]) -> None:
        """See `World.send`."""
        assert self.core is not None
        outgoing = packed(self.core.topology.epoch, messages)
        may_double = not any(isinstance(message, MutateRequest) for message in messages)
        receiver = peer if isinstance(peer, str) else self.clients[peer]
        self._environment.observer.sent(self, peer, messages)
        for frame in outgoing.frames:
            payload = frame[LENGTH_BYTES:]
            self._environment.trace.sent(self.place.node, receiver, payload)
            self._network.send(self.place.node, receiver, payload, self._surroundings.deliver(receiver), may_double)
        if outgoing.returned:
            self.put(Received(peer, 0, outgoing.returned))

    def publish(self, publish: Publish) -> None:
        """See `World.publish`."""
        self._bus.publish(self, publish)

    def send_bus(self, send: SendBus) -> None:
        """See `World.send_bus`."""
        self._bus.send(self, send)

    def propose(self, proposal: Proposal) -> None:
        """See `World.propose`."""
        self._bus.propose(self, proposal)

    def ack(self, ack: AckStream) -> None:
        """See `World.ack`."""
        self._bus.ack(self, ack.handle, ack.applied)

    def note(self, text: str) -> None:
        """See `World.note`."""
        self._environment.note(f"{self.place.node}: {text}")

    def save_incarnation(self, incarnation: int) -> None:
        """See `World.save_incarnation`."""
        self._who = replace(self._who, incarnation=incarnation)
        identity.save(self.disk.record, self._owner, self._who)

    def follow_topology(self, topology: Topology) -> None:
        """See `World.follow_topology`: simulated nodes have no addresses."""

    def refresh_topology(self) -> None:
        """See `World.refresh_topology`."""
        self._bus.refresh_topology(self)

    def halt(self, reason: str) -> None:
        """See `World.halt`: there is one process of each name, so no node has a reason to."""
        raise AssertionError(reason)

    # The process.

    def _carry_out(self, effects: Effects) -> None:
        carry_out(effects, self)
        self._release(self._group.stepped(effects))
        self._sync()
        if effects.after_commit and self.ambush is not None:
            ambush, self.ambush = self.ambush, None
            self._later(self._random.uniform(0, self._network.weather.fsync_max_s / 2), ambush)

    def _release(self, released: list[Effects]) -> None:
        for effects in released:
            self._environment.observer.releasing(self, effects)
            release(effects, self)

    def _sync(self) -> None:
        """Begin a simulated fsync, which ends after a while and makes the present commits durable."""
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
        self._environment.note(f"{self.place.node} stops: {error}")
        self._surroundings.disk_failed(self)

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
        """Call `act` later: never if this process has ended by then, and after its pause if it is paused."""
        process = self.process

        def run() -> None:
            if self.core is None or self.process != process:
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
