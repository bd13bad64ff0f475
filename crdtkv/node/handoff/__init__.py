"""Hinted handoff: what this node keeps for replicas that are away, and its delivery.

- `handoff`: what this node holds of a key, as a home replica or as a fallback, and the delivery of hints.
- `hints`: the rows. A hint is a whole entry (kept by a fallback), or a reference to what this node stores itself.

Invariant: a hint is deleted only when its target has the entry on disk, or when it is marked that the target needs
repair. Imported by everything that reads or writes for a key: quorum calls, coordination, geo replication.
"""
