"""`Kernel`: the three things that every part of a node is given, and `Part`, what the core asks of a part in return."""

from dataclasses import dataclass
from typing import Protocol

from crdtkv.node.kernel.calls import CallTable
from crdtkv.node.kernel.cluster_view import ClusterView
from crdtkv.node.kernel.step import Step


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is known of the cluster, what belongs to the current step, and the requests in flight."""

    cluster: ClusterView
    step: Step
    calls: CallTable


class Part(Protocol):
    """A part of a node that has work of its own. The core runs all parts at the end of each step, in a fixed order."""

    def run_due(self) -> None:
        """Do what is due now."""
        ...

    def next_timer(self) -> float | None:
        """Return the monotonic time when something is due without an event, None if nothing is."""
        ...
