"""Merkle trees over what a node stores: which partitions, and which parts of them, differ from another replica's."""
