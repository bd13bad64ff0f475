"""`Kernel`: the three objects that every part of a node gets; `Part`: the methods that the core calls on a part."""

from dataclasses import dataclass
from typing import Protocol

from crdtkv.node.kernel.calls import CallTable
from crdtkv.node.kernel.cluster_view import ClusterView
from crdtkv.node.kernel.step import Step


@dataclass(frozen=True, slots=True)
class Kernel:
    """The view of the cluster, the current step, and the requests in flight."""

    cluster: ClusterView
    step: Step
    calls: CallTable


class Part(Protocol):
    """A part of a node with scheduled work. The core runs all parts at the end of each step, in a fixed order."""

    def run_due(self) -> None:
        """Do the work that is due now."""
        ...

    def next_timer(self) -> float | None:
        """Return the monotonic time when work is due without an event, None if none is."""
        ...
