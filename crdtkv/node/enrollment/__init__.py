"""How a node comes to count: by the topology document, and by holding what it should hold.

- `enrollment`: enters this node's disk and address into the document, as a learner if the disk has forgotten anything.
- `filling`: asks other data centers for everything when this one may have lost it, and sends it to those that ask.

Invariant: a node whose disk may lack acknowledged writes counts in no quorum. Imported by the core only.
"""
