"""Ring, gossip and geo replication of clusters of any size, without data: `python -m crdtkv.sim scale`.

- `command`: the program. `report`, `plot`: its output as text, JSON and drawing.
- `gossip`: simulated. `ring`: measured. `geo`: computed.

Invariant: equal arguments give equal reports, apart from `--time`. It uses the scheduler of the world only. `__main__`
and tests import it.
"""
