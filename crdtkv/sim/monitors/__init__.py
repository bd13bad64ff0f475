"""The invariants of every step, disk and message, checked from outside the nodes.

- `monitor`: the base class. `monitors`: the list of all monitors, in the order in which an event reaches them.
- `step_invariants`, `durable_entries`, `durability`, `releasing`, `retrying`, `superseding`, `collecting`,
  `watch`: the checks.
- `operation_log`, `times`: records for the checkers of histories. `coverage`: counters of reached paths.
- `home_replicas`: where a key belongs.

Invariant: a monitor reads the world through `WorldView`, and never changes it. The cluster and the runs import it; it
does not import the actors.
"""
