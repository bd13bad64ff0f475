"""Whole simulated lives: faults, healing, and the invariants at the end."""

import pytest

from crdtkv.sim.cluster import SimCluster
from crdtkv.sim.faults import Faults


@pytest.mark.parametrize("seed", range(60))
def test_no_acknowledged_write_is_lost_and_all_replicas_converge(seed: int) -> None:
    SimCluster(seed).run()


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_three_data_centers_converge_as_two_do(seed: int) -> None:
    SimCluster(seed, datacenters=3).run()


@pytest.mark.parametrize("seed", range(2000, 2006))
def test_keys_are_served_by_nodes_that_are_no_replicas_of_them(seed: int) -> None:
    """Five nodes, three replicas: two fifths of the requests are forwarded."""
    SimCluster(seed, nodes=5).run()


def test_in_a_perfect_world_every_operation_succeeds() -> None:
    cluster = SimCluster(1, faults=Faults())
    cluster.run(operations=300)
    assert {operation.outcome for operation in cluster.history} == {"ok"}


def test_a_world_of_faults_makes_some_operations_fail_and_some_of_unknown_fate() -> None:
    """Otherwise the seeds above would prove little."""
    outcomes = {operation.outcome for seed in range(8) for operation in _lived(seed).history}
    assert outcomes == {"ok", "fail", "info"}


def _lived(seed: int) -> SimCluster:
    cluster = SimCluster(seed)
    cluster.run()
    return cluster
