"""Watches: clients poll for what changed.

- `watching`: answers polls, with the initial state and then with changes.
- `waiting_polls`: the polls that wait for a change. `watch_cursor`: how far a client has come.

Invariant: a client that follows its cursor misses no change of the replica it asks, or is told to begin anew.
Imported by the core only.
"""
