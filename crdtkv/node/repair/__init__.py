"""Anti-entropy: replicas compare Merkle trees, and exchange the entries in which they differ.

- `anti_entropy`: when to compare with whom, and the full comparisons that an operator or a learner asks for.
- `exchange`: one exchange in flight. `tree_builder`: the trees are built in the background after a start.

Invariant: a partition counts as compared only when this node holds all that the other replica held when the comparison
began. Imported by hinted handoff (for whom hints were dropped), enrollment (learners compare everything) and the core.
"""
