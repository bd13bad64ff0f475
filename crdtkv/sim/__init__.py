"""The simulator: whole clusters of `NodeCore`s and `ClientCore`s in one thread and in virtual time, from one seed.

- `plan`: the data of a run. `world`: nodes, disks, links, NATS. `actors`: clients, watchers, faults.
- `monitors`: the invariants of every step. `cluster`: world, actors and monitors put together.
- `runs`: run, check, shrink. `scale`: ring and gossip of any size. `__main__`: `python -m crdtkv.sim`.

Invariant: equal plans give equal traces, whatever monitors observe them. Only tests and benchmarks import it.
"""
