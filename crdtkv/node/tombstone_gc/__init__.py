"""Garbage collection of tombstones.

- `stability`: whether a tombstone is stable: every home replica holds exactly its bytes, and no hint or row is left.
- `collection`: the rounds in which the home replicas of a key agree to that, and drop it.

Invariant: nothing that a collected tombstone had seen can come back. Imported by the core only.
"""
