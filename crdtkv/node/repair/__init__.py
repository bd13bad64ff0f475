"""Anti-entropy: replicas compare Merkle trees, and exchange the entries in which they differ.

- `anti_entropy`: begins exchanges, and the anti-entropy sessions that an operator or a learner requests.
- `exchange`: one exchange in flight. `tree_comparison`: a node's roots, digests and entries in it.
- `tree_builder`: builds the trees in the background after a start.

Invariant: a partition counts as compared only when this node holds all that the other replica held when the exchange
began. Imported by hinted handoff (for targets whose hints were dropped), enrollment (learners compare all partitions),
`geo` (for other data centers) and the core.
"""
