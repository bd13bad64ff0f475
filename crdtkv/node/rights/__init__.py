"""Rights of bounded counters: how much each node may decrement, and how a node that lacks rights gets some.

- `rights`: gives rights to nodes that ask, and queues decrements that wait for rights.
- `rights_search`: asks the owners of rights, one after the other, for the decrements of one key.

Invariant: a node gives only rights that it has, by an operation of its own, so the sum of rights is the value. Imported
by coordination and the core.
"""
