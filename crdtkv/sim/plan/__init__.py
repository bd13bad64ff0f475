"""The data of a run, drawn from a seed before the run begins.

- `plan`: everything together, as JSON, and how it is drawn. `shape`: sizes, limits and permanent faults.
- `workload`, `more_types`: the calls of the clients. `incidents`: the kinds of faults, and when they occur.
- `fault_classes`: runs in which most faults are of one kind.

Invariant: a plan is immutable, and alone decides the run; new draws use a random generator of their own, so that seeds
keep their plans. All rooms of the simulator may import it; it imports no other room.
"""
