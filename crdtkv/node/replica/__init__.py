"""What this node stores, and the only code that changes it.

It makes the dots of this node's own writes, merges what comes from elsewhere, and puts a write, its outbox row, its
tombstone note and its place in the Merkle trees into one commit.

- `replica`: the entries. `entry_cache`, `recent_deltas`, `entry_limits`, `change_log` serve it.
- `write_actor`: the name this node makes dots under. `operations`: which operations of clients were carried out.
- `outbox`: the rows that other data centers have not confirmed. `tombstones`: when each tombstone was made.

Invariant: a dot is used once; what is told to anybody is durable, or marked as not durable yet.
Imported by the rooms above it; it knows nothing of other nodes.
"""
