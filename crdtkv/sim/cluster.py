"""`SimCluster`: the world, the actors and the monitors of one simulated run, put together."""

from crdtkv.sim.actors.client import clients_of
from crdtkv.sim.actors.watchers import watchers_of
from crdtkv.sim.monitors.monitors import Monitors
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.world.sim_world import SimWorld


class SimCluster:
    """One cluster whose processes have been started, with its clients and watchers, which are not connected yet."""

    def __init__(self, plan: Plan) -> None:
        self.world = SimWorld(plan)
        self.monitors = Monitors(self.world)
        self.world.observer = self.monitors
        #: The last client only reads everything at the end of a run.
        self.clients = clients_of(self.world, self.monitors.times)
        self.watchers = watchers_of(self.world)
        hosts = [host for client in self.clients for host in client.hosts.values()]
        self.world.begin([*hosts, *self.watchers])
