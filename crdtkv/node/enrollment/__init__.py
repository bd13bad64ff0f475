"""How a node comes to count: it is a member of the topology document, and holds the data it should hold.

- `enrollment`: enters this node's disk and address into the document, as a learner if the disk has lost anything.

Invariant: a node whose disk may lack acknowledged writes counts in no quorum. Imported by the core only.
"""
