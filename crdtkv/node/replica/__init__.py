"""The data that this node stores, and the only code that changes it.

It mints the dots of this node's own writes, merges entries from elsewhere, and puts a write, its outbox row, its
tombstone note and its place in the Merkle trees into one commit.

- `replica`: the entries. `entry_cache`, `recent_deltas`, `entry_limits`, `change_log` serve it.
- `write_actor`: the actor under which this node mints dots. `operations`: the records of clients' operations.
- `outbox`: the rows that other data centers have not confirmed. `tombstones`: the time of each tombstone.

Invariant: a dot is used once; a result is either durable, or marked as not durable yet. All rooms above import it; it
depends on no other node.
"""
