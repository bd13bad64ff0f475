"""Placement of keys: tokens, the consistent-hash ring, the topology document.

- `token`: identity → token → partition, and storage keys. `hash_ring`: preference lists. `partition_set`: sets of
  partitions.
- `topology`: the document that all nodes agree on. `agreement`: which of two documents a node follows.

Invariant: the same document gives the same ring on every machine. Pure. Imported by the node, the client, the CLI.
"""
