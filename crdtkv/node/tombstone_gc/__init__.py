"""Garbage collection of tombstones.

- `stability`: whether this node agrees to the collection of a tombstone.
- `collection`: the rounds in which all nodes of the ring agree, and the home replicas drop the tombstone.

Invariant: no version older than a collected tombstone can come back. Imported by the core only.
"""
