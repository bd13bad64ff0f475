"""`Environment`: what all parts of one simulated world share: the plan, time, links, randomness, trace and observer."""

from random import Random

from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.world.cluster_config import config_of
from crdtkv.sim.world.network import Network
from crdtkv.sim.world.observer import WorldObserver
from crdtkv.sim.world.scheduler import Scheduler
from crdtkv.sim.world.tracing import Trace


class Environment:
    """The environment of one run. `observer` is replaced before the first process starts."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.config = config_of(plan.shape, plan.datacenters)
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, plan.seed, plan.weather)
        self.random = Random(f"world {plan.seed}")
        self.trace = Trace(self.scheduler)
        self.observer = WorldObserver()

    @property
    def now(self) -> float:
        """The virtual time, in seconds since the start of the run."""
        return self.scheduler.now

    def note(self, text: str) -> None:
        """Add a line for people to the trace."""
        self.trace.note(text)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a coverage counter."""
        self.observer.counted(name, amount)
