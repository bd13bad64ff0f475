"""Merkle trees over the stored entries: they find the partitions and leaves that differ from another replica's.

- `forest`: one tree for each partition, updated by every write of the replica, built again after a start.

Invariant: a tree matches the disk, or does not exist. Imported by the node.
"""
