"""Watches: clients poll for changes.

- `watching`: answers polls, with the initial state and then with changes.
- `waiting_polls`: the polls that wait for a change. `watch_cursor`: the position of a client.

Invariant: a client that follows its cursor misses no change of the replica it asks, or receives the initial state
again. Imported by the core only.
"""
