"""Merkle trees over what a node stores: which partitions, and which leaves of them, differ from another replica's.

- `forest`: one tree for each partition, kept up to date by the replica, built again after a start.

Invariant: a tree is that of what the disk holds, or it is not there. Imported by the node.
"""
