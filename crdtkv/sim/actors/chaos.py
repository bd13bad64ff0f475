"""`Chaos`: carries out the incidents of a plan, with one method for each kind, and heals everything at the end.

An incident with a duration is undone after that; `heal` undoes the remaining ones, and no incident begins after it.
Incidents overlap, so each has no effect on a target that is already down.
"""

from collections.abc import Callable
from functools import partial

from crdtkv.node.kernel.events import DiskSpace
from crdtkv.sim.plan.incidents import Incident
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.sim_world import SimWorld
from crdtkv.sim.world.stream import Stream
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import TopologyRequest

#: From the simulated present beyond 1970 or 2100.
_JUMP_S = 2.4e9


class Chaos:
    """Carries out the incidents of the plan of a world."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._scheduler = world.scheduler
        self._undoing: dict[int, Callable[[], None]] = {}
        self._incidents = 0
        self._is_healed = False
        for incident in world.plan.incidents:
            self._later(incident.at_s, partial(self._strike, incident))

    def heal(self) -> None:
        """End all faults, and start all processes."""
        world = self._world
        self._is_healed = True
        for undo in list(self._undoing.values()):
            undo()
        self._undoing = {}
        world.network.heal()
        for node in world.nodes.values():
            node.ambush = None
            node.disk.failing = None
            node.disk.slowness = 1.0
            if node.is_paused:
                world.resume(node)
            world.start(node)
        for node in world.nodes.values():
            for other in world.neighbors(node):
                world.update_link(node, other)
        world.nats.heal()

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call `act` later, unless everything has been healed by then."""
        self._scheduler.after(delay_s, partial(self._unless_healed, act))

    def _unless_healed(self, act: Callable[[], None]) -> None:
        if not self._is_healed:
            act()

    def _strike(self, incident: Incident) -> None:
        target = f"{incident.target} {incident.other}".strip()
        self._world.note(f"{incident.kind} strikes {target}, {incident.for_s:g} s, {incident.strength:g}")
        getattr(self, f"_{incident.kind}")(incident)

    def _until(self, incident: Incident, undo: Callable[[], None]) -> None:
        """Call `undo` when the incident ends, or when everything heals."""
        self._incidents += 1
        number = self._incidents
        self._undoing[number] = undo

        def over() -> None:
            if self._undoing.pop(number, None) is not None:
                undo()

        self._scheduler.after(incident.for_s, over)

    def _node(self, incident: Incident) -> SimNode:
        return self._world.nodes[incident.target]

    def _stream(self, incident: Incident) -> Stream:
        return self._world.nats.streams[incident.target]

    # Processes.

    def _kill(self, incident: Incident) -> None:
        """Kill the process (SIGKILL): unsynced commits remain."""
        node = self._node(incident)
        self._world.stop(node)
        self._until(incident, lambda: self._world.start(node))

    def _power_loss(self, incident: Incident) -> None:
        """Lose power, soon after the next commit, so that there are unsynced commits to lose."""
        node = self._node(incident)

        def lose_power() -> None:
            if node.is_up:
                self._world.stop(node, round(node.disk.unsynced * incident.strength * 0.9))
                self._until(incident, lambda: self._world.start(node))

        node.ambush = partial(self._unless_healed, lose_power)

    def _restart(self, incident: Incident) -> None:
        node = self._node(incident)
        if node.is_up and node.disk.failing is None:
            node.disk.sync()
        self._kill(incident)

    def _rolling_restart(self, incident: Incident) -> None:
        """Restart all nodes of a data center, one after the other."""
        nodes = [node for node in self._world.nodes.values() if node.place.datacenter == incident.target]
        for position, node in enumerate(nodes):
            step = Incident(0.0, "restart", node.place.node, "", incident.for_s / 2)
            self._later(position * incident.for_s, partial(self._restart, step))

    def _pause(self, incident: Incident) -> None:
        node = self._node(incident)
        if not node.is_up or node.is_paused:
            return
        process = node.process
        node.pause()
        for other in self._world.neighbors(node):
            self._world.give_up_silent_link(node, other)

        def resume() -> None:
            if node.process == process and node.is_paused:
                self._world.resume(node)

        self._until(incident, resume)

    def _clock_jump(self, incident: Incident) -> None:
        """Move the clock by some seconds, or to 1970 or 2100."""
        strength = incident.strength * 2 - 1
        scale = _JUMP_S if abs(strength) > 0.7 else 10.0
        self._node(incident).clock_offset_s += strength * scale

    # Disks.

    def _disk_full(self, incident: Incident) -> None:
        node = self._node(incident)
        node.put(DiskSpace(False))
        self._until(incident, lambda: node.put(DiskSpace(True)))

    def _slow_disk(self, incident: Incident) -> None:
        disk = self._node(incident).disk
        disk.slowness = 1 + 50 * incident.strength
        self._until(incident, lambda: setattr(disk, "slowness", 1.0))

    def _fail_next(self, incident: Incident, what: str) -> None:
        disk = self._node(incident).disk
        if self._node(incident).is_up:
            disk.failing = what
        self._until(incident, lambda: setattr(disk, "failing", None))

    def _commit_error(self, incident: Incident) -> None:
        self._fail_next(incident, "commit")

    def _sync_error(self, incident: Incident) -> None:
        self._fail_next(incident, "sync")

    def _read_error(self, incident: Incident) -> None:
        self._fail_next(incident, "read")

    def _scan_error(self, incident: Incident) -> None:
        self._fail_next(incident, "scan")

    def _wipe(self, incident: Incident) -> None:
        """Replace the disk by an empty one, with or without the identity file."""
        node = self._node(incident)
        self._world.stop(node, 0)
        node.disk.wipe(with_record=incident.strength < 0.5)
        self._until(incident, lambda: self._world.start(node))

    def _rollback(self, incident: Incident) -> None:
        """Restore a backup of the store from before the last start."""
        node = self._node(incident)
        self._world.stop(node, 0)
        if node.disk.roll_back():
            self._world.note(f"{incident.target} has an old backup of its store")
        self._until(incident, lambda: self._world.start(node))

    def _restored_copy(self, incident: Incident) -> None:
        """Restore a copy of the whole directory from before the last start, with the identity file."""
        node = self._node(incident)
        self._world.stop(node, 0)
        if node.disk.roll_back(with_record=True):
            self._world.note(f"{incident.target} has an old copy of its whole directory")
        self._until(incident, lambda: self._world.start(node))

    def _unreadable_disk(self, incident: Incident) -> None:
        """Replace a store that does not open by an empty one."""
        node = self._node(incident)
        self._world.stop(node, 0)
        node.disk.wipe(with_record=False)
        self._until(incident, lambda: self._world.start(node))

    # Links inside a data center.

    def _cut(self, incident: Incident) -> None:
        """Cut a link; both nodes notice at once, because the connection is reset."""
        self._block(incident, [(incident.target, incident.other), (incident.other, incident.target)])
        one, other = self._pair(incident)
        self._world.update_link(one, other, is_silent=True)

    def _one_way(self, incident: Incident) -> None:
        """Block one direction; both nodes notice after `SILENCE_S`."""
        self._block(incident, [(incident.target, incident.other)])
        self._world.give_up_silent_link(*self._pair(incident))

    def _slow_link(self, incident: Incident) -> None:
        network = self._world.network
        ends = (incident.target, incident.other)
        network.slow_down(*ends, 1 + 30 * incident.strength)
        self._until(incident, lambda: network.slow_down(*ends, 1.0))

    def _block(self, incident: Incident, directions: list[tuple[str, str]]) -> None:
        network = self._world.network
        for direction in directions:
            network.block(*direction)

        def undo() -> None:
            for direction in directions:
                network.unblock(*direction)
            self._world.update_link(*self._pair(incident))

        self._until(incident, undo)

    def _pair(self, incident: Incident) -> tuple[SimNode, SimNode]:
        return self._world.nodes[incident.target], self._world.nodes[incident.other]

    # NATS.

    def _bus_down(self, incident: Incident) -> None:
        self._world.nats.turn(incident.target, is_up=False)
        self._until(incident, lambda: self._world.nats.turn(incident.target, is_up=True))

    def _bus_cut(self, incident: Incident) -> None:
        cut = (incident.target, incident.other)
        self._world.nats.cut(*cut, is_cut=True)
        self._until(incident, lambda: self._world.nats.cut(*cut, is_cut=False))

    def _stream_wipe(self, incident: Incident) -> None:
        self._stream(incident).wipe()
        self._world.count("stream_messages_lost")

    def _stream_lose_suffix(self, incident: Incident) -> None:
        lost = self._stream(incident).lose_suffix(incident.strength, rewind=False)
        self._world.count("stream_messages_lost", lost)

    def _stream_lose_middle(self, incident: Incident) -> None:
        lost = self._stream(incident).lose_middle(incident.strength)
        self._world.count("stream_messages_lost", lost)

    def _stream_rewind(self, incident: Incident) -> None:
        lost = self._stream(incident).lose_suffix(incident.strength, rewind=True)
        self._world.count("stream_messages_lost", lost)

    def _stream_redeliver(self, incident: Incident) -> None:
        self._stream(incident).redeliver_all()
        self._world.count("redelivered")

    def _stream_refuse(self, incident: Incident) -> None:
        stream = self._stream(incident)
        stream.refuses = True
        self._until(incident, lambda: setattr(stream, "refuses", False))

    def _stream_ack_loss(self, incident: Incident) -> None:
        stream = self._stream(incident)
        stream.ack_loss = incident.strength
        self._until(incident, lambda: setattr(stream, "ack_loss", 0.0))

    def _stream_junk(self, incident: Incident) -> None:
        """Publish bytes that are no frame, and a frame that is no batch."""
        stream = self._stream(incident)
        stream.publish(b"\xff junk")
        stream.publish(encode_frame(0, [TopologyRequest(1)]))

    def _consumer_lost(self, incident: Incident) -> None:
        for peer in self._world.config.peers_of(incident.target):
            self._stream(incident).lose_consumer(peer)
            self._world.count("redelivered")

    def _bucket_wipe(self, incident: Incident) -> None:
        self._world.nats.buckets[incident.target].wipe()

    def _bucket_rewind(self, incident: Incident) -> None:
        self._world.nats.buckets[incident.target].rewind()

    def _ring_change(self, incident: Incident) -> None:
        self._world.nats.change_ring(incident.target)
