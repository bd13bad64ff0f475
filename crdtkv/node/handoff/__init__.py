"""Hinted handoff: the hints that this node stores for absent replicas, and their delivery.

- `local_copy`: what this node holds of a key, as a home replica or as a fallback replica.
- `hints`: the rows. A hint carries an entry (at a fallback replica), or is a reference to this node's own entry.
- `hint_delivery`: delivers hints to targets that are alive again.

Invariant: a hint is deleted only when its target has the entry on disk, or is marked durably as needing repair.
Imported by all rooms that read or write a key: quorum calls, coordination, geo replication.
"""
