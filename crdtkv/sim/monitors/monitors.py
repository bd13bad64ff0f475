"""`Monitors`: all monitors of a run, and the order in which each event reaches them.

An event goes to those monitors that override its method. When a run breaks two invariants with one event, the first
monitor in this order reports it.
"""

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.checking.history import Operation
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event, Peer
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.replica.write_observer import MadeOperation
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.coverage import Coverage
from crdtkv.sim.monitors.durability import DurabilityMonitor
from crdtkv.sim.monitors.durable_entries import DurableEntries
from crdtkv.sim.monitors.home_replicas import HomeReplicas
from crdtkv.sim.monitors.operation_log import OperationLog
from crdtkv.sim.monitors.releasing import Releasing
from crdtkv.sim.monitors.retrying import Retrying
from crdtkv.sim.monitors.step_invariants import StepInvariants
from crdtkv.sim.monitors.superseding import Superseding
from crdtkv.sim.monitors.times import Times
from crdtkv.sim.monitors.watch import WatchMonitor
from crdtkv.sim.world.observer import WorldObserver
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage.memory import Batch
from crdtkv.wire.messages import Message


class Monitors(WorldObserver):
    """The monitors of one run."""

    def __init__(self, world: WorldView) -> None:
        homes = HomeReplicas(world)
        self.collecting = Collecting(world, homes)
        self.retrying = Retrying(world)
        self.operation_log = OperationLog(world, self.collecting)
        self.watch = WatchMonitor(world, self.collecting)
        self.times = Times(world)
        self.coverage = Coverage()
        self._in_order: tuple[WorldObserver, ...] = (
            self.collecting,
            StepInvariants(world, homes, self.collecting),
            DurabilityMonitor(world, homes, self.collecting),
            Releasing(world),
            self.retrying,
            DurableEntries(world),
            self.operation_log,
            Superseding(world, homes),
            self.watch,
            self.times,
            self.coverage,
        )
        self._of_event = {
            name: [one for one in self._in_order if getattr(type(one), name) is not method]
            for name, method in vars(WorldObserver).items()
            if not name.startswith("_")
        }

    def lost_data(self, node: NodeView, reason: str) -> None:
        """See `WorldObserver.lost_data`."""
        for monitor in self._of_event["lost_data"]:
            monitor.lost_data(node, reason)

    def stopping(self, node: NodeView) -> None:
        """See `WorldObserver.stopping`."""
        for monitor in self._of_event["stopping"]:
            monitor.stopping(node)

    def stepping(self, node: NodeView, events: list[Event]) -> None:
        """See `WorldObserver.stepping`."""
        for monitor in self._of_event["stepping"]:
            monitor.stepping(node, events)

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """See `WorldObserver.stepped`."""
        for monitor in self._of_event["stepped"]:
            monitor.stepped(node, events, effects)

    def committing(self, node: NodeView, batch: Batch) -> None:
        """See `WorldObserver.committing`."""
        for monitor in self._of_event["committing"]:
            monitor.committing(node, batch)

    def durable(self, node: NodeView, batch: Batch) -> None:
        """See `WorldObserver.durable`."""
        for monitor in self._of_event["durable"]:
            monitor.durable(node, batch)

    def releasing(self, node: NodeView, effects: Effects) -> None:
        """See `WorldObserver.releasing`."""
        for monitor in self._of_event["releasing"]:
            monitor.releasing(node, effects)

    def sent(self, node: NodeView, peer: Peer, messages: list[Message]) -> None:
        """See `WorldObserver.sent`."""
        for monitor in self._of_event["sent"]:
            monitor.sent(node, peer, messages)

    def acknowledged(self, node: NodeView, payload: bytes) -> None:
        """See `WorldObserver.acknowledged`."""
        for monitor in self._of_event["acknowledged"]:
            monitor.acknowledged(node, payload)

    def begun(self, operation_id: bytes, operation: Operation) -> None:
        """See `WorldObserver.begun`."""
        for monitor in self._of_event["begun"]:
            monitor.begun(operation_id, operation)

    def made(self, node: NodeView, key: PlacedKey, operation: MadeOperation) -> None:
        """See `WorldObserver.made`."""
        for monitor in self._of_event["made"]:
            monitor.made(node, key, operation)

    def dropping(self, node: NodeView, storage_key: bytes) -> None:
        """See `WorldObserver.dropping`."""
        for monitor in self._of_event["dropping"]:
            monitor.dropping(node, storage_key)

    def superseding(self, node: NodeView, key: PlacedKey, before: HybridTimestamp) -> None:
        """See `WorldObserver.superseding`."""
        for monitor in self._of_event["superseding"]:
            monitor.superseding(node, key, before)

    def superseded(self, node: NodeView, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """See `WorldObserver.superseded`."""
        for monitor in self._of_event["superseded"]:
            monitor.superseded(node, key, before, context)

    def counted(self, name: str, amount: int) -> None:
        """See `WorldObserver.counted`."""
        for monitor in self._of_event["counted"]:
            monitor.counted(name, amount)
