"""Rights of bounded counters: who may decrement how much, and how a node that lacks rights gets some.

- `rights`: gives rights to nodes that ask, and lets decrements wait.
- `rights_search`: asks the owners of rights, one after the other, for the decrements of one key.

Invariant: a node gives only rights that it has, by an operation of its own, so the sum of rights is the value.
Imported by coordination and the core.
"""
