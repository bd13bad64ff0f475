"""The actors of a run: what sends requests to the world, and what breaks it.

- `client` (with `scanner`, `recorder`), `watcher` (with `watchers`): clients and watchers, and the history of each.
- `client_host`: the simulated host of the real client's core, which decides what they send.
- `chaos`: carries out the incidents of the plan, and heals everything in the end.

Invariant: an actor changes the world only by frames and by the methods of `SimWorld` and its parts. The cluster and the
runs import it; it does not import the monitors.
"""
